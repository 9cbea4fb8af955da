"""`pgproof report`: what the command writes of a store with real backups and drills, in each of its formats."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.fixtures.postgres import Server
from tests.support.command import Command, Finished

BAD_NAME = "<script>alert(1)</script>"


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A store in which something has happened, and the command that knows only this store."""

    pgproof: Command
    store: Path
    database: str
    first: str
    safety: str
    latest: str

    def __call__(self, *arguments: str, **changes: str | None) -> Finished:
        return self.pgproof("report", *arguments, **changes)

    def made(self, *arguments: str) -> Any:  # noqa: ANN401 -- JSON
        """The report on `shop` as JSON."""
        done = self("--target", "shop", "--json", *arguments)
        assert done.code == 0, done
        (found,) = done.result["reports"]
        return found


@pytest.fixture(scope="module")
def history(pg18: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """`shop`: a proven backup, a restore over its database, a backup that differs, a damaged manifest; and `other`."""
    home = tmp_path_factory.mktemp("report")
    store, database = home / "store", f"{BAD_NAME}_{secrets.token_hex(4)}"
    quoted = f'"{database}"'.encode()
    with pg18.connect() as connection:
        connection.execute(b"CREATE DATABASE " + quoted)
    with pg18.connect(database) as connection:
        connection.execute("CREATE TABLE orders AS SELECT generate_series(1, 1234) AS id")
    alone = Command(home=home, environ={"PGPROOF_STORE": str(store)})
    pgproof = alone.changed(
        PATH=str(pg18.bin_dir),
        PGPROOF_DATABASE_URL=pg18.url(database),
        PGPROOF_TARGET="shop",
        PGPROOF_DRILL_ON=pg18.url(),
    )

    def run(*arguments: str, code: int = 0, **changes: str) -> Any:  # noqa: ANN401 -- JSON
        done = pgproof(*arguments, "--json", **changes)
        assert done.code == code, done
        return done.result

    try:
        first = run("backup", PGPROOF_LABELS=f"why={BAD_NAME}")["id"]
        run("drill", first)
        run("restore", first, "--in-place", "--confirm", database)
        latest = run("backup")["id"]
        run("drill", latest, "--check", f"SELECT false AS {quoted.decode()}", code=7)
        run("backup", PGPROOF_TARGET="other")
        (safety,) = [each["id"] for each in run("list")["backups"] if each["purpose"] == "safety"]
        _damage(store, latest)
        yield History(pgproof=alone, store=store, database=database, first=first, safety=safety, latest=latest)
    finally:
        with pg18.connect() as connection:
            connection.execute(b"DROP DATABASE " + quoted + b" WITH (FORCE)")


def _damage(store: Path, like: str) -> None:
    folder = store / "shop" / f"{like}-9"
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")


def test_its_figures_are_those_of_list(history: History) -> None:
    listed = history.pgproof("list", "--target", "shop", "--json").result
    found = history.made()
    assert len(listed["backups"]) == found["summary"]["backups"] == 3
    for one, other in zip(listed["backups"], found["backups"], strict=True):
        assert other["proof"]["rows"] == 1234
        alone = {"drill", "store", "accepted", "held"}
        assert {name: value for name, value in one.items() if name not in alone}.items() <= other.items()
        assert one["drill"] is other["drill"] is None or one["drill"].items() <= other["drill"].items()
    assert [each["id"] for each in found["unreadable"]] == [each["id"] for each in listed["unreadable"]]


def test_it_says_what_was_proven_and_what_was_not(history: History) -> None:
    found = history.made()
    assert found["summary"]["newest"]["id"] == history.latest
    assert found["summary"]["newest_proven"]["id"] == history.first
    assert found["summary"]["verdicts"] == {"proven": 1, "differs": 1, "failed": 0, "unproven": 0}
    assert found["summary"]["restores_measured"] == 2
    assert [(each["backup"], each["verdict"]) for each in found["drills"]] == [
        (history.latest, "differs"),
        (history.first, "proven"),
    ]
    assert found["drills"][0]["checks"][0]["passed"] is False
    assert all(each["restore_seconds"] > 0 and each["seconds"] for each in found["drills"])


def test_a_restore_over_a_live_database_is_known_by_its_safety_backup(history: History) -> None:
    (restore,) = history.made()["restores_over_a_live_database"]
    assert (restore["safety_backup"], restore["restored"]) == (history.safety, history.first)
    assert restore["database"] == history.database
    page = history("--target", "shop").stdout
    assert "Restores into new databases, and those without a safety backup, leave no trace." in page
    assert f" {history.safety} |" in page


def test_gaps_follow_the_schedule_that_is_given(history: History) -> None:
    assert history.made("--every", "1h")["long_gaps"] == []
    long = history.made("--every", "1s")["long_gaps"]
    assert long
    assert all(each["length"] > 1.1 for each in long)
    assert "as was given, and a tenth for late starts" in history("--target", "shop", "--every", "1h").stdout


def test_all_targets_are_one_page_with_a_table_of_them(history: History) -> None:
    page = history("--all").stdout
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        "## All targets",
        "## other",
        "## shop",
        "## How to read this",
    ]
    reports = history("--all", "--json").result["reports"]
    assert [each["target"] for each in reports] == ["other", "shop"]


def test_a_target_must_be_chosen_where_there_are_several(history: History) -> None:
    refused = history()
    assert refused.code == 2
    assert "--target" in refused.hint


def test_html_is_well_formed_and_a_name_is_nothing_but_text(history: History, tmp_path: Path) -> None:
    shutil.copytree(history.store, tmp_path / "store")
    shutil.copytree(history.store / "shop", tmp_path / "store" / "<script>alert(2)")
    done = history("--all", "--format", "html", PGPROOF_STORE=str(tmp_path / "store"))
    assert done.code == 0, done
    page = ET.fromstring(done.stdout)  # noqa: S314 -- our own page
    assert "<script" not in done.stdout
    assert {each.tag for each in page.iter()} & {"script", "img", "link", "a", "iframe"} == set()
    text = "".join(page.itertext())
    assert "<script>alert(2)" in text
    assert history.database in text


def test_markdown_lets_no_name_become_markup(history: History) -> None:
    page = history("--target", "shop").stdout
    assert "<script" not in page.replace("\\<script", "")
    assert "\\<script\\>alert(1)" in page


@pytest.mark.parametrize(
    ("arguments", "beginning"),
    [
        (["--format", "markdown"], "# Backup report: shop\n"),
        (["--format", "html"], "<!DOCTYPE html>\n"),
        (["--format", "json"], '{\n  "store"'),
        (["--json"], '{\n  "store"'),
        ([], "# Backup report: shop\n"),
    ],
)
def test_each_format_is_printed(history: History, arguments: list[str], beginning: str) -> None:
    done = history("--target", "shop", *arguments)
    assert done.code == 0, done
    assert done.stdout.startswith(beginning)


@pytest.mark.parametrize(
    ("name", "beginning"), [("it.html", "<!DOCTYPE"), ("it.JSON", "{"), ("it.md", "#"), ("it", "#")]
)
def test_a_file_is_written_in_the_format_of_its_ending_and_its_path_is_printed(
    history: History, tmp_path: Path, name: str, beginning: str
) -> None:
    file = tmp_path / name
    file.write_text("an older one")
    done = history("--target", "shop", "--output", str(file))
    assert (done.code, done.stdout) == (0, f"{file}\n")
    assert file.read_text().startswith(beginning)
    assert list(tmp_path.iterdir()) == [file]


def test_with_json_the_path_of_the_file_is_the_result(history: History, tmp_path: Path) -> None:
    file = tmp_path / "it.html"
    done = history("--target", "shop", "--output", str(file), "--json")
    assert done.result == {"output": str(file), "format": "html", "targets": ["shop"]}


def test_a_file_that_cannot_be_written_whole_is_left_as_it_was(history: History, tmp_path: Path) -> None:
    """The limit on a file's size stops the writing half-way, as a full disk does."""
    file = tmp_path / "it.html"
    file.write_text("an older one")
    limited = history.pgproof.behind("prlimit", "--fsize=4096", "--")
    failed = limited("report", "--target", "shop", "--output", str(file))
    assert failed.code == 11
    assert failed.complaint == f"the report cannot be written to {file}"
    assert file.read_text() == "an older one"
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_no_file_is_never_replaced(history: History, tmp_path: Path) -> None:
    for place in (tmp_path, Path("/dev/null")):
        assert history("--target", "shop", "--output", str(place)).code == 2
    assert Path("/dev/null").is_char_device()
    assert history("--target", "shop", "--output", str(tmp_path / "missing" / "it.md")).code == 11


@pytest.mark.parametrize(
    "arguments",
    [
        ["--since", "tomorrow"],
        ["--since", "9999-01-01"],
        ["--every", "often"],
        ["--format", "pdf"],
        ["--json", "--format", "html"],
    ],
)
def test_what_cannot_be_is_refused(history: History, arguments: list[str]) -> None:
    assert history("--target", "shop", *arguments).code == 2


@pytest.mark.parametrize("arguments", [["--target", "nobody"], ["--target", "nobody", "--since", "1h"]])
def test_nothing_found_is_exit_code_9(history: History, arguments: list[str]) -> None:
    assert history(*arguments).code == 9


@pytest.mark.parametrize("arguments", [[], ["--all"]])
def test_an_empty_store_is_exit_code_9_and_no_file_is_written(
    history: History, tmp_path: Path, arguments: list[str]
) -> None:
    (tmp_path / "store").mkdir()
    file = tmp_path / "it.md"
    done = history(*arguments, "--output", str(file), PGPROOF_STORE=str(tmp_path / "store"))
    assert done.code == 9
    assert not file.exists()
