from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
from pathlib import Path

from backup.demo.s3_server import S3Server
from backup.postgres.scratch import EMBEDDED, packaged_bin_dir
from tests.cli.conftest import Run, clean_environment
from tests.fixtures.postgres import NewDatabase, NewRole, Server

CLIENTS = {"PGPROOF_PG_BIN": str(packaged_bin_dir(EMBEDDED))}


def test_all_is_well_with_a_database_and_a_bucket(
    pgproof: Run, pg18: Server, new_database: NewDatabase, s3_server: S3Server, bucket: str
) -> None:
    db, keys = new_database(pg18), s3_server.keys
    assert keys.access_key
    assert keys.secret_key
    environ = {
        **CLIENTS,
        "DATABASE_URL": pg18.url(db),
        "PGPROOF_STORE": f"s3://{bucket}/shop",
        "PGPROOF_S3_ENDPOINT": s3_server.endpoint,
        "AWS_ACCESS_KEY_ID": keys.access_key.get_secret_value(),
        "AWS_SECRET_ACCESS_KEY": keys.secret_key.get_secret_value(),
    }
    ran = pgproof("doctor", environ=environ)
    assert (ran.returncode, ran.stderr) == (0, "")
    *lines, empty, summary = ran.stdout.splitlines()
    assert {line[:2] for line in lines} == {"✓ "}
    assert "✓ store multipart  " in ran.stdout
    assert (empty, summary) == ("", f"{len(lines)} ok")
    assert "\x1b" not in ran.stdout
    assert pg18.password not in ran.stdout


def test_missing_rights_end_with_14_and_the_grants_can_be_pasted(
    pgproof: Run, pg18: Server, new_database: NewDatabase, new_role: NewRole
) -> None:
    db, role = new_database(pg18), new_role(pg18)
    with pg18.connect(db) as connection:
        connection.execute("CREATE TABLE orders (id serial)")
        environ = {**CLIENTS, "DATABASE_URL": pg18.url(db, user=role.name, password=role.password)}
        ran = pgproof("doctor", environ=environ)
        assert ran.returncode == 14
        assert "✗ tables           no SELECT on public.orders\n" in ran.stdout
        assert ran.stdout.endswith(" 2 to mend before a backup can be made\n")
        hints = [line for line in ran.stdout.splitlines() if line.startswith("    ")]
        assert hints[0].strip() == f"GRANT SELECT ON TABLE public.orders TO {role.name};"
        connection.execute("\n".join(hints).encode())
    assert pgproof("doctor", environ=environ).returncode == 0


def test_json_is_one_object_with_every_check(pgproof: Run, pg18: Server, tmp_path: Path) -> None:
    environ = {**CLIENTS, "DATABASE_URL": pg18.url("nowhere"), "PGPROOF_STORE": str(tmp_path / "store")}
    ran = pgproof("doctor", "--json", environ=environ)
    assert ran.returncode == 4
    said = json.loads(ran.stdout)
    assert said["verdict"] == "fail"
    connection = said["checks"][1]
    assert (connection["name"], connection["code"], connection["exit_code"]) == ("connection", "database_missing", 4)
    assert said["checks"][-1] == {
        "name": "store delete",
        "verdict": "ok",
        "message": "nothing of the probe is left",
        "hint": None,
        "code": None,
        "exit_code": None,
    }


def test_a_database_alone_is_enough(pgproof: Run, pg18: Server) -> None:
    ran = pgproof("doctor", environ={**CLIENTS, "DATABASE_URL": pg18.url()})
    assert ran.returncode == 0
    assert "store" not in ran.stdout


def test_a_store_alone_is_enough(pgproof: Run, tmp_path: Path) -> None:
    ran = pgproof("doctor", environ={"PGPROOF_STORE": str(tmp_path / "store")})
    assert ran.returncode == 0
    assert "connection" not in ran.stdout


def test_with_neither_there_is_nothing_to_check(pgproof: Run) -> None:
    ran = pgproof("doctor")
    assert (ran.returncode, ran.stdout) == (3, "")
    assert "neither a database nor a store is set" in ran.stderr


def test_a_wrong_password_ends_with_14_and_is_not_shown(pgproof: Run, pg18: Server) -> None:
    ran = pgproof("doctor", environ={**CLIENTS, "DATABASE_URL": pg18.url(user="postgres", password="wrong-one")})
    assert ran.returncode == 14
    assert "password authentication failed" in ran.stdout
    assert "wrong-one" not in ran.stdout + ran.stderr


def test_an_address_that_cannot_be_read_still_lets_the_store_be_checked(pgproof: Run, tmp_path: Path) -> None:
    environ = {"DATABASE_URL": "host=x sslpasswort=secret", "PGPROOF_STORE": str(tmp_path / "store")}
    ran = pgproof("doctor", environ=environ)
    assert ran.returncode == 3
    assert "secret" not in ran.stdout + ran.stderr


def test_a_terminal_gets_colours_unless_it_wants_none(tmp_path: Path) -> None:
    for more, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        ours, theirs = pty.openpty()
        environ = clean_environment({"PGPROOF_STORE": str(tmp_path / "store"), "TERM": "xterm", **more})
        subprocess.run([sys.executable, "-m", "backup", "doctor"], stdout=theirs, env=environ, check=True)
        os.close(theirs)
        said = os.read(ours, 1 << 16).decode()
        os.close(ours)
        assert "✓" in said
        assert ("\x1b[32m" in said) == coloured


def test_a_signal_ends_it_while_a_server_does_not_answer() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"postgresql://127.0.0.1:{silent.getsockname()[1]}/db"
        argv = [sys.executable, "-m", "backup", "doctor"]
        with (
            subprocess.Popen(argv, env=clean_environment({"DATABASE_URL": address}), stdout=subprocess.PIPE) as process,
            silent.accept()[0],
        ):  # it is connecting now
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 128 + signal.SIGTERM
