"""A restore that is asked for by a folder of files: what it may say, and what of it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from backup.cli.request import KEYS, Wanted, read_request
from backup.errors import ConfigurationError
from tests.cli.conftest import Run

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
ID = "20261122T070000Z"
OVERWRITE = {"backup": ID, "in-place": "true", "confirm": "shop", "until": "2026-11-22T09:00Z"}


def read(folder: Path, files: Mapping[str, str], *, now: datetime = NOW) -> Wanted:
    for name, text in files.items():
        (folder / name).write_text(text)
    return read_request(folder, now=now)


def refusal(folder: Path, files: Mapping[str, str]) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        read(folder, files)
    return caught.value


@pytest.mark.parametrize("files", [{}, dict.fromkeys(KEYS, ""), dict.fromkeys(KEYS, " \n")])
def test_nothing_said_is_the_latest_into_a_new_database(tmp_path: Path, files: dict[str, str]) -> None:
    assert read(tmp_path, files) == Wanted(backup="latest")


def test_everything_may_be_said(tmp_path: Path) -> None:
    files = {"backup": f"{ID}\n", "into": " shop_back ", "table": "orders, public.customers ,", "no-owner": "true"}
    assert read(tmp_path, {**files, "no-privileges": "True", "dry-run": "true", "in-place": "false"}) == Wanted(
        backup=ID,
        into="shop_back",
        tables=("orders", "public.customers"),
        no_owner=True,
        no_privileges=True,
        dry_run=True,
    )


REPLACE = {**OVERWRITE, "in-place": "", "replace": "true"}


def test_a_whole_request_may_replace(tmp_path: Path) -> None:
    wanted = Wanted(backup=ID, replace=True, disconnect=True, confirm="shop")
    assert read(tmp_path, {**REPLACE, "disconnect": "true"}) == wanted


def test_how_rows_come_back_in_place_may_be_said(tmp_path: Path) -> None:
    wanted = Wanted(backup=ID, in_place=True, confirm="shop", upsert=True, disable_triggers=True)
    assert read(tmp_path, {**OVERWRITE, "upsert": "true", "disable-triggers": "true"}) == wanted


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"in-place": "", "replace": "true", "upsert": "true"},
            "upsert in the restore request goes with in-place, and says nothing without",
        ),
        ({"into": "x"}, "into and replace in the restore request exclude each other"),
        ({"in-place": "true"}, "in-place and replace in the restore request exclude each other"),
        ({"table": "orders"}, "table and replace in the restore request exclude each other"),
        ({"replace": "", "disconnect": "true", "confirm": ""}, "disconnect in the restore request goes with replace"),
    ],
)
def test_what_does_not_go_with_replace_is_refused(tmp_path: Path, change: dict[str, str], says: str) -> None:
    assert refusal(tmp_path, {**REPLACE, **change}).message.startswith(says)


@pytest.mark.parametrize("safety", [{}, {"no-safety-backup": "true"}])
def test_a_whole_request_may_overwrite(tmp_path: Path, safety: dict[str, str]) -> None:
    wanted = Wanted(backup=ID, in_place=True, confirm="shop", no_safety_backup=bool(safety))
    assert read(tmp_path, {**OVERWRITE, **safety}) == wanted


def test_what_kubernetes_puts_beside_the_keys_is_passed_over(tmp_path: Path) -> None:
    """A mounted ConfigMap as kubelet makes it: each key a link into ..data, which is one to the folder of the day."""
    day = tmp_path / "..2026_11_22_08_00_00.1234567890"
    day.mkdir()
    (day / "into").write_text("shop_back")
    (tmp_path / "..data").symlink_to(day.name)
    (tmp_path / "into").symlink_to("..data/into")
    assert read_request(tmp_path, now=NOW) == Wanted(backup="latest", into="shop_back")


@pytest.mark.parametrize("name", ["inplace", "in_place", "BACKUP", "tables", "until "])
def test_an_unknown_key_is_refused_with_those_that_are_known(tmp_path: Path, name: str) -> None:
    failure = refusal(tmp_path, {name: ""})
    assert failure.message.endswith(f"has unknown keys: {name}")
    assert all(key in (failure.hint or "") for key in KEYS)


@pytest.mark.parametrize(
    "key", ["in-place", "replace", "disconnect", "no-safety-backup", "no-owner", "no-privileges", "dry-run"]
)
@pytest.mark.parametrize("text", ["yes", "1", "on", "tru", "true false"])
def test_what_is_not_true_or_false_is_refused(tmp_path: Path, key: str, text: str) -> None:
    assert refusal(tmp_path, {key: text}).message == f"{key} in the restore request is {text!r}"


@pytest.mark.parametrize("text", ["newest", "2026-13-01", "shop", f"{ID} {ID}"])
def test_what_names_no_backup_is_refused(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path, {"backup": text}).message == f"backup in the restore request: {text!r} names no backup"


@pytest.mark.parametrize(
    "until", ["tomorrow", "2026-11-22T25:00Z", "1 hour", "0001-01-01T00:00+23:00", "9999-12-31T23:00-23:00"]
)
@pytest.mark.parametrize("rest", [{}, OVERWRITE], ids=["new database", "in place"])
def test_an_end_that_is_no_time_is_refused(tmp_path: Path, rest: dict[str, str], until: str) -> None:
    failure = refusal(tmp_path, {**rest, "until": until})
    assert failure.message == f"until in the restore request is {until!r}"
    assert "2026-11-22T08:30Z" in (failure.hint or "")


@pytest.mark.parametrize("until", ["2026-11-22T08:00Z", "2026-11-22T07:59:59Z", "2026-11-22T08:30+01:00", "2026-11-22"])
@pytest.mark.parametrize("rest", [{}, OVERWRITE], ids=["new database", "in place"])
def test_a_request_whose_time_is_over_is_refused(tmp_path: Path, rest: dict[str, str], until: str) -> None:
    failure = refusal(tmp_path, {**rest, "until": until})
    assert "was good until 2026-11-22T0" in failure.message
    assert '"2026-11-22T09:00:00Z"' in (failure.hint or "")


@pytest.mark.parametrize(
    "until",
    ["2026-11-22T08:00:01Z", "2026-11-23T08:00Z", "2026-11-22T08:30", "2026-11-22 10:00+01:00", "20261122T083000Z"],
)
def test_a_time_of_the_next_day_is_good_and_without_an_offset_it_is_utc(tmp_path: Path, until: str) -> None:
    assert read(tmp_path, {**OVERWRITE, "until": until}).in_place


def test_the_clock_may_be_of_any_zone(tmp_path: Path) -> None:
    now = NOW.astimezone(timezone(timedelta(hours=-7)))
    assert read(tmp_path, OVERWRITE, now=now).in_place


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"backup": ""}, "backup is 'latest': give an id"),
        ({"backup": "latest"}, "backup is 'latest': give an id"),
        ({"backup": "2026-11-22T07:00Z"}, "backup is '2026-11-22T07:00Z': give an id"),
        ({"confirm": ""}, "confirm is empty"),
        ({"until": ""}, "until is empty: give a time at most 24 hours ahead"),
        ({"until": "2026-11-23T08:00:01Z"}, "until is 2026-11-23T08:00:01Z: give a time at most 24 hours ahead"),
        ({"until": "2027-11-22T08:00Z"}, "until is 2027-11-22T08:00:00Z: give a time at most 24 hours ahead"),
    ],
)
@pytest.mark.parametrize("whole", [OVERWRITE, REPLACE], ids=["in place", "replace"])
def test_what_overwrites_must_say_what_and_until_when(
    tmp_path: Path, whole: dict[str, str], change: dict[str, str], says: str
) -> None:
    failure = refusal(tmp_path, {**whole, **change})
    assert "must say which backup, which database, and until when" in failure.message
    (line,) = (failure.detail or "").splitlines()
    assert line.startswith(says)


def test_all_that_is_missing_is_told_at_once(tmp_path: Path) -> None:
    detail = refusal(tmp_path, {"in-place": "true"}).detail or ""
    assert [line.split()[0] for line in detail.splitlines()] == ["backup", "confirm", "until"]


def test_in_place_and_into_exclude_each_other(tmp_path: Path) -> None:
    failure = refusal(tmp_path, {**OVERWRITE, "into": "shop_back"})
    assert failure.message == "into and in-place in the restore request exclude each other"


@pytest.mark.parametrize(("key", "text"), [("confirm", "shop"), ("no-safety-backup", "true")])
def test_what_goes_with_in_place_is_refused_without_it(tmp_path: Path, key: str, text: str) -> None:
    assert refusal(tmp_path, {key: text}).message.startswith(f"{key} in the restore request goes with in-place")


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "into").write_bytes(b"\xff")
    (tmp_path / "folder" / "into").mkdir(parents=True)
    for folder in (tmp_path / "none", tmp_path, tmp_path / "folder", tmp_path / "into"):
        with pytest.raises(ConfigurationError) as caught:
            read_request(folder, now=NOW)
        assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("arguments", "environ", "stray"),
    [
        (["latest"], {}, "BACKUP"),
        (["--into", "x"], {}, "--into"),
        (["--table", "x"], {}, "--table"),
        (["--in-place"], {}, "--in-place"),
        (["--replace", "--disconnect"], {}, "--replace, --disconnect"),
        (["--confirm", "x"], {}, "--confirm"),
        (["--no-safety-backup"], {}, "--no-safety-backup"),
        (["--no-owner"], {}, "--no-owner"),
        (["--no-privileges"], {}, "--no-privileges"),
        (["--dry-run"], {}, "--dry-run"),
        (["latest", "--dry-run"], {}, "BACKUP, --dry-run"),
        ([], {"PGPROOF_RESTORE_INTO": "x"}, "--into"),
    ],
)
def test_a_request_beside_its_own_words_is_2(
    pgproof: Run, tmp_path: Path, arguments: list[str], environ: dict[str, str], stray: str
) -> None:
    ended = pgproof("restore", "--request", str(tmp_path), *arguments, environ=environ)
    assert ended.returncode == 2
    told = {name.strip() for name in ended.stderr.partition("and so does ")[2].splitlines()[0].split(",")}
    assert told == set(stray.split(", "))


def test_neither_a_request_nor_a_backup_is_2(pgproof: Run) -> None:
    ended = pgproof("restore")
    assert ended.returncode == 2
    assert "which backup?" in ended.stderr


def test_a_request_that_cannot_be_is_3(pgproof: Run, tmp_path: Path) -> None:
    (tmp_path / "in-place").write_text("true")
    ended = pgproof("restore", environ={"PGPROOF_RESTORE_REQUEST": str(tmp_path), "PGPROOF_STORE": "/backups"})
    assert ended.returncode == 3
    assert "must say which backup" in ended.stderr
