from __future__ import annotations

import json

import pytest

from backup.cli.options import setting_option
from tests.cli.conftest import Launcher, Run

SHOW_DUMP = (
    "d = invocation.settings.dump\ninvocation.emit({'level': d.zstd_level, 'out': d.exclude_tables, 'l': d.labels})"
)
OPTIONS = """@setting_option("dump.zstd_level", "--zstd-level")
@setting_option("dump.exclude_tables", "--exclude-table")
@setting_option("dump.labels", "--label")
@setting_option("restore.analyze", "--analyze/--no-analyze")
@option("--own", envvar="PGPROOF_NO_FALLBACK", help="Its own.")
"""


def test_an_option_is_a_setting(launcher: Launcher) -> None:
    arguments = ["--zstd-level", "7", "--exclude-table", "a,b", "--exclude-table", "c", "--label", "x=1,2"]
    environ = {"PGPROOF_ZSTD_LEVEL": "3", "PGPROOF_EXCLUDE_TABLES": "z", "PGPROOF_LABELS": "y=1"}
    ran = launcher.run(SHOW_DUMP, "--json", *arguments, options=OPTIONS, environ=environ)
    assert json.loads(ran.stdout) == {"level": 7, "out": ["a,b", "c"], "l": {"x": "1,2"}}
    ran = launcher.run(SHOW_DUMP, "--json", options=OPTIONS, environ=environ)
    assert json.loads(ran.stdout) == {"level": 3, "out": ["z"], "l": {"y": "1"}}


@pytest.mark.parametrize(("arguments", "value"), [([], True), (["--no-analyze"], False), (["--analyze"], True)])
def test_a_switch_can_be_turned_both_ways(launcher: Launcher, arguments: list[str], value: bool) -> None:  # noqa: FBT001 -- of a table
    body = "invocation.emit({'analyze': invocation.settings.restore.analyze})"
    ran = launcher.run(body, "--json", *arguments, options=OPTIONS)
    assert json.loads(ran.stdout) == {"analyze": value}


def test_its_problems_are_told_by_its_name(launcher: Launcher) -> None:
    ran = launcher.run(SHOW_DUMP, "--zstd-level", "99", options=OPTIONS, environ={"PGPROOF_LOG_FORMAT": "xml"})
    assert ran.returncode == 3
    assert "--zstd-level (flag): must be at most 22" in ran.stderr
    assert "PGPROOF_LOG_FORMAT (environment): must be text or json" in ran.stderr


def test_help_shows_what_the_model_says(launcher: Launcher) -> None:
    text = " ".join(launcher.run(SHOW_DUMP, "--help", options=OPTIONS).stdout.split())
    assert "Level of zstd: higher is smaller and slower. [env var: PGPROOF_ZSTD_LEVEL; default: 1]" in text
    assert "--own TEXT Its own. [env var: PGPROOF_NO_FALLBACK]" in text


def test_an_option_of_its_own_comes_as_keyword_and_its_variable_is_known(launcher: Launcher) -> None:
    environ = {"PGPROOF_NO_FALLBACK": "x", "PGPROOF_NO_FALLBAKC": "y"}
    ran = launcher.run("invocation.settings\ninvocation.emit(own)", "--json", options=OPTIONS, environ=environ)
    assert json.loads(ran.stdout) == {"own": "x"}
    assert ran.stderr.count("\n") == 1
    assert "warning PGPROOF_NO_FALLBAKC is not known; did you mean PGPROOF_NO_FALLBACK?" in ran.stderr


def test_a_secret_cannot_be_an_option() -> None:
    with pytest.raises(ValueError, match="every user of the machine"):
        setting_option("stores.*.secret_key", "--secret-key")


@pytest.mark.parametrize(
    ("arguments", "url"),
    [([], None), (["--store", "store2"], "/b"), (["--store", "/c"], "/c"), (["--store", "x"], None)],
)
def test_a_store_is_chosen_by_name_or_address(launcher: Launcher, arguments: list[str], url: str | None) -> None:
    body = "invocation.emit({'url': invocation.store.url})"
    ran = launcher.run(body, "--json", *arguments, environ={"PGPROOF_STORE": "/a,/b"})
    assert ran.returncode == (0 if url else 2)
    assert json.loads(ran.stdout).get("url") == url


def test_events_look_as_asked_for(launcher: Launcher) -> None:
    body = "invocation.settings\nlog.debug('a step')\nlog.info('done', n=1)"
    ran = launcher.run(body, "--log-format", "json", "-v")
    events = [json.loads(line) for line in ran.stderr.splitlines()]
    assert [(event["event"], event["level"]) for event in events] == [("a step", "debug"), ("done", "info")]
    assert launcher.run(body).stderr.endswith("Z info    done n=1\n")


class TestConfig:
    def test_it_shows_values_and_sources(self, pgproof: Run) -> None:
        ran = pgproof("config", "--target", "shop", environ={"PGPROOF_ZSTD_LEVEL": "5"})
        assert ran.returncode == 0
        assert "# flag: --target" in ran.stdout
        assert "# environment: PGPROOF_ZSTD_LEVEL" in ran.stdout

    def test_it_masks_secrets_also_in_json(self, pgproof: Run) -> None:
        environ = {"PGPROOF_DATABASE_URL": "postgresql://me:hunter2@h/d", "PGPROOF_ZSTD": "1"}
        ran = pgproof("config", "--json", environ=environ)
        result = json.loads(ran.stdout)
        assert {"name": "database.url", "value": "********", "source": "environment: PGPROOF_DATABASE_URL"} in result[
            "settings"
        ]
        assert result["warnings"] == ["PGPROOF_ZSTD is not known; did you mean PGPROOF_ZSTD_LEVEL?"]
        assert "hunter2" not in ran.stdout + ran.stderr

    def test_it_lists_all_problems(self, pgproof: Run) -> None:
        ran = pgproof("config", "--config", "no.yaml")
        assert ran.returncode == 3
        assert "cannot read no.yaml: no such file or directory" in ran.stderr
        ran = pgproof("config", environ={"PGPROOF_ZSTD_LEVEL": "x", "PGPROOF_TARGET": "/"})
        assert ran.returncode == 3
        assert ran.stderr.splitlines()[0] == "pgproof: error: 2 settings are wrong"

    def test_its_reference_needs_no_valid_settings(self, pgproof: Run) -> None:
        ran = pgproof("config", "--reference", environ={"PGPROOF_ZSTD_LEVEL": "x"})
        assert ran.returncode == 0
        assert "PGPROOF_S3_CREDENTIALS" in ran.stdout
        listed = json.loads(pgproof("config", "--reference", "--json").stdout)["settings"]
        assert {"dump.zstd_level", "stores.*.url"} <= {each["name"] for each in listed}
