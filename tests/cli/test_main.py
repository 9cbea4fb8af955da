from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

import backup
from backup.cli.commands import PLUGIN_TABLE, TABLE, load, names, option_variables
from backup.cli.main import wants_json
from tests.cli.conftest import Launcher, Run, clean_environment

PASSWORD = "hunter2hunter2"


def test_help_lists_the_commands_and_ends_well(pgproof: Run) -> None:
    for arguments in (["--help"], ["-h"], []):
        ran = pgproof(*arguments)
        assert ran.returncode == 0
        assert "config" in ran.stdout
        assert ran.stderr == ""


def test_help_is_quick() -> None:
    """By the processor's time, the least of five, so that a busy machine does not decide it."""
    seconds = []
    for _ in range(5):
        before = children_seconds()
        subprocess.run([sys.executable, "-m", "backup", "--help"], check=True, stdout=subprocess.DEVNULL)
        seconds.append(children_seconds() - before)
    assert min(seconds) < 0.4


def children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from backup.cli.main import run; status = run(['--help'], {});"
        "heavy = {'pydantic', 'rich', 'structlog', 'minio', 'psycopg', 'yaml', 'zstandard'} & set(sys.modules);"
        "sys.exit(f'{status} {heavy}' if heavy or status else 0)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)


def test_version(pgproof: Run) -> None:
    assert pgproof("--version").stdout == f"pgproof {backup.__version__}\n"


def test_the_installed_script_is_the_same_command() -> None:
    script = os.path.join(os.path.dirname(sys.executable), "pgproof")  # noqa: PTH118, PTH120 -- a sibling, not resolved
    ran = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("pgproof ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bakup"], "pgproof: error: no such command 'bakup'"),
        (["config", "--refrence"], "pgproof: error: no such option '--refrence'"),
        (["config", "extra"], "pgproof: error: got unexpected extra argument (extra)"),
        (["config", "--log-format", "xml"], "pgproof: error: invalid value for '--log-format'"),
    ],
)
def test_a_wrong_command_line_is_2(pgproof: Run, arguments: list[str], message: str) -> None:
    ran = pgproof(*arguments)
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert ran.stderr.startswith(message)
    assert "hint: pgproof" in ran.stderr


class TestFailures:
    def test_each_has_its_code_its_line_and_its_hint(self, launcher: Launcher) -> None:
        ran = launcher.run("raise AccessDenied('no rights', detail='one\\ntwo', hint='do this:\\nGRANT x')")
        assert (ran.returncode, ran.stdout) == (14, "")
        assert ran.stderr == "pgproof: error: no rights\n  one\n  two\nhint: do this:\n  GRANT x\n"

    @pytest.mark.parametrize("how", [["--json"], []])
    def test_one_is_json_too(self, launcher: Launcher, how: list[str]) -> None:
        environ = {} if how else {"PGPROOF_JSON": "1"}
        ran = launcher.run("raise DatabaseUnreachable('gone', hint='wait')", *how, environ=environ)
        assert ran.returncode == 4
        assert ran.stderr == "pgproof: error: gone\nhint: wait\n"
        assert json.loads(ran.stdout) == {
            "error": {
                "code": "database_unreachable",
                "message": "gone",
                "detail": None,
                "hint": "wait",
                "exit_code": 4,
                "retryable": True,
            }
        }

    def test_a_wrong_command_line_is_json_too(self, pgproof: Run) -> None:
        error = json.loads(pgproof("config", "--json", "--no").stdout)["error"]
        assert (error["code"], error["exit_code"], error["retryable"]) == ("usage_error", 2, False)

    def test_a_bug_is_1_with_its_traceback(self, launcher: Launcher) -> None:
        ran = launcher.run(f"invocation.settings\nraise KeyError('{PASSWORD}')", "--json", environ=self.secret())
        assert ran.returncode == 1
        assert "Traceback" in ran.stderr
        assert "hint: please report it, with the lines above" in ran.stderr
        assert PASSWORD not in ran.stderr + ran.stdout
        error = json.loads(ran.stdout)["error"]
        assert (error["code"], error["exit_code"], error["retryable"]) == ("bug", 1, True)

    def test_no_secret_is_in_what_is_told(self, launcher: Launcher) -> None:
        body = f"invocation.settings\nraise DumpFailed('a {PASSWORD}', detail='b {PASSWORD}', hint='c {PASSWORD}')"
        ran = launcher.run(body, "--json", environ=self.secret())
        assert ran.returncode == 5
        assert PASSWORD not in ran.stderr + ran.stdout
        assert ran.stderr.count("********") == 3

    def test_passwords_of_others_are_known_before_the_settings(self, launcher: Launcher) -> None:
        ran = launcher.run(f"raise DumpFailed('a {PASSWORD}')", environ={"PGPASSWORD": PASSWORD})
        assert ran.stderr == "pgproof: error: a ********\n"

    @staticmethod
    def secret() -> dict[str, str]:
        return {"PGPROOF_DATABASE_URL": f"postgresql://me:{PASSWORD}@host/db"}


class TestSignals:
    body = """
import time, sys
try:
    print("ready", flush=True)
    time.sleep(60)
finally:
    print("cleaning", flush=True)
    time.sleep(0.5)
    print("clean", flush=True)
"""

    @pytest.fixture(autouse=True)
    def hang_up_as_usual(self) -> Iterator[None]:
        """Not ignored, as children of nohup have it."""
        before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
        yield
        signal.signal(signal.SIGHUP, before)

    @pytest.mark.parametrize(("signum", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
    def test_one_stops_the_run_which_cleans_up(self, launcher: Launcher, signum: signal.Signals, status: int) -> None:
        with launcher.start(self.body) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signum)
            assert process.stdout.read() == "cleaning\nclean\n"
            assert process.stderr.read() == f"pgproof: error: stopped by {signum.name}\n"
            assert process.wait() == status

    def test_more_of_them_do_not_disturb_the_cleaning_up(self, launcher: Launcher) -> None:
        with launcher.start(self.body) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGTERM)
            assert process.stdout.readline() == "cleaning\n"
            for signum in (signal.SIGTERM, signal.SIGINT):
                process.send_signal(signum)
            assert process.stdout.read() == "clean\n"
            assert process.wait() == 143

    def test_a_command_line_library_cannot_hide_one(self, launcher: Launcher) -> None:
        body = "try:\n    import os, signal, time\n    os.kill(os.getpid(), signal.SIGINT)\n    time.sleep(5)\n"
        body += "except KeyboardInterrupt:\n    pass"
        assert launcher.run(body).returncode == 130


class TestOutput:
    def test_a_reader_that_goes_away_is_no_error(self, launcher: Launcher) -> None:
        argv = launcher.argv("for _ in range(10000): invocation.emit('x' * 100)")
        with subprocess.Popen(
            argv,
            env=clean_environment({"PYTHONPATH": str(launcher.folder)}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            process.stdout.close()
            assert process.stderr.read() == b""
            assert process.wait() == 128 + signal.SIGPIPE

    @pytest.mark.parametrize("unbuffered", ["", "1"])
    def test_help_to_a_reader_that_has_gone_is_no_error(self, unbuffered: str) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        ran = subprocess.run(
            [sys.executable, "-m", "backup", "--help"],
            env=clean_environment({"PYTHONUNBUFFERED": unbuffered}),
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
        )
        os.close(writing)
        assert (ran.returncode, ran.stderr) == (128 + signal.SIGPIPE, b"")

    def test_the_broken_pipe_of_somebody_else_is_told(self, launcher: Launcher) -> None:
        ran = launcher.run("raise BrokenPipeError('a pipe to a child')")
        assert ran.returncode == 1
        assert "a pipe to a child" in ran.stderr


def test_json_is_known_before_the_command_line_is_understood() -> None:
    assert wants_json(["list", "--json", "--wrong"], {})
    assert wants_json(["list"], {"PGPROOF_JSON": "true"})
    assert not wants_json(["list", "--", "--json"], {"PGPROOF_JSON": "0"})


def test_the_variables_of_options_are_found_without_importing_a_command() -> None:
    found = set()
    for table in (TABLE, PLUGIN_TABLE):
        for name in names(table):
            for parameter in load(name, table).params:
                listed = parameter.envvar
                found |= {listed} if isinstance(listed, str) else set(listed or ())
    assert option_variables() == found
    script = "import sys; from backup.cli import commands; commands.option_variables(); print('httpx' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout == "False\n"
