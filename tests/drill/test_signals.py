"""A drill that is stopped in the middle: by a signal it takes everything away, by SIGKILL it cannot."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import psutil
import pytest

from tests.drill.conftest import Drilling, servers_in
from tests.support.command import wait_until

_SLOW = """
CREATE FUNCTION slow(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN n; END';
CREATE TABLE orders (id int CHECK (slow(id) > 0));
INSERT INTO orders VALUES (1);
CREATE OR REPLACE FUNCTION slow(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_catalog.pg_sleep(600); RETURN n; END';
"""
"""Takes ten minutes to load."""
_HANGING = ("--check", "DO 'BEGIN PERFORM pg_sleep(600); END'")
"""A session that asks this is titled DO, and no other is."""
_SIGNALS = pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=lambda each: each.name)


def _works_in(folder: Path, title: str) -> bool:
    """Whether a session of a server in the folder does what its title says."""
    try:
        return any(title in " ".join(child.cmdline()) for server in servers_in(folder) for child in server.children())
    except psutil.Error:  # it has just ended
        return False


@_SIGNALS
def test_a_signal_while_the_backup_is_loaded_leaves_nothing(own: Drilling, signum: signal.Signals) -> None:
    own.run(_SLOW)
    own.back_up()
    with own.pgproof.start("drill", "latest", "--json") as running:
        running.wait_for(lambda: _works_in(own.folder, "COPY"))
        running.signal(signum)
        ended = running.finish()
    assert ended.code == 128 + signum, ended
    assert ended.error["code"] == "interrupted"
    own.assert_nothing_left(ended)
    assert own.stored_drills() == []


@_SIGNALS
def test_a_signal_while_a_check_is_asked_leaves_nothing(drilling: Drilling, signum: signal.Signals) -> None:
    with drilling.pgproof.start("drill", "latest", "--json", *_HANGING) as running:
        running.wait_for(lambda: _works_in(drilling.folder, " DO"))
        running.signal(signum)
        ended = running.finish()
    assert ended.code == 128 + signum, ended
    drilling.assert_nothing_left(ended)
    assert drilling.stored_drills() == []


def test_a_signal_while_the_server_is_made_leaves_nothing(drilling: Drilling) -> None:
    with drilling.pgproof.start("drill", "latest", "--json") as running:
        running.wait_for(lambda: list(drilling.folder.glob("*/data/*")))
        running.signal(signal.SIGINT)
        ended = running.finish()
    assert ended.code == 130, ended
    drilling.assert_nothing_left(ended)
    assert drilling.stored_drills() == []


def test_a_signal_on_another_server_leaves_no_database(drilling: Drilling) -> None:
    server = drilling.server
    with drilling.pgproof.start("drill", "latest", "--on", server.socket_url(), "--json", *_HANGING) as running:
        running.wait_for(lambda: [n for n in server.databases() if n.startswith(f"{drilling.database}_drill_")])
        running.signal(signal.SIGINT)
        ended = running.finish()
    assert ended.code == 130, ended
    drilling.assert_nothing_left(ended)
    wait_until(lambda: [n for n in server.databases() if n.startswith(f"{drilling.database}_")] == [])


def test_what_a_killed_drill_leaves_disturbs_no_other_one_and_goes_as_the_page_says(drilling: Drilling) -> None:
    """SIGKILL gives no time to clean up; docs/proof.md says what is left, and how it goes."""
    with drilling.pgproof.start("drill", "latest", "--json", *_HANGING) as running:
        running.wait_for(lambda: _works_in(drilling.folder, " DO"))
        running.signal(signal.SIGKILL)
        running.finish()
    (left,) = drilling.folder.iterdir()
    assert left.name.startswith("pgproof-")
    assert drilling.stored_drills() == []
    ended = drilling("drill", "latest")
    assert ended.code == 0, ended
    assert list(drilling.folder.iterdir()) == [left]
    os.kill(int((left / "data" / "postmaster.pid").read_text().splitlines()[0]), signal.SIGINT)
    wait_until(lambda: servers_in(drilling.folder) == [])
    shutil.rmtree(left)
