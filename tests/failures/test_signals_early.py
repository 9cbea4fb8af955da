"""A signal while something is looked up that could be done without: it ends the run all the same."""

from __future__ import annotations

import os
import signal
import socket
import threading
from dataclasses import replace

import pytest

from backup.errors import Interrupted
from backup.postgres.prover import ProofOptions, Prover
from backup.postgres.snapshot import hold_snapshot
from backup.signals import interruptible
from tests.failures.conftest import Shop
from tests.support.pgproof import address_of


def test_while_sequences_are_looked_at_before_a_dump(shop: Shop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        nobody = {"host": "127.0.0.1", "hostaddr": "127.0.0.1", "port": str(silent.getsockname()[1])}
        with hold_snapshot(address_of(shop.server, shop.database), "it", connect_timeout=10) as snapshot:
            elsewhere = replace(snapshot, address=snapshot.address.with_keywords(**nobody))
            timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM))
            timer.start()
            with interruptible(), pytest.raises(Interrupted):
                Prover(elsewhere, ProofOptions(mode="full", seconds=10), connect_timeout=3)
            timer.join()
