"""Commands that read look into every store; and a slow store costs time, not memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from backup.demo.s3_server import S3Server
from backup.stores.directory import DirectoryStore
from tests.care.conftest import DAY, HOUR, Shop, keys_of, plant, shop_of
from tests.failures.conftest import TARGET, s3_environ
from tests.fixtures.postgres import NewDatabase, Server
from tests.fixtures.proxy import Proxy
from tests.support.command import Running

LIMIT = 128 << 20
"""Bytes that a process of ours may hold at any size of a database."""


@pytest.fixture
def second(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "second")


def both(shop: Shop, second: DirectoryStore) -> dict[str, str]:
    return {"PGPROOF_STORE": f"{shop.folder},{second.url}"}


def test_the_newest_backup_is_found_in_whichever_store_it_is(shop: Shop, second: DirectoryStore) -> None:
    (first,) = shop.ids()
    (older,) = plant(shop.store, first, 2 * HOUR, to=second)
    assert shop("show", "latest", **both(shop, second)).result["id"] == first
    newer = shop.back_up(PGPROOF_STORE=second.url)
    assert shop("show", "latest", **both(shop, second)).result["id"] == newer
    assert shop("show", older, **both(shop, second)).result["id"] == older
    assert shop("verify", "latest", **both(shop, second)).code == 0
    into = f"{shop.database}_across"
    restored = shop("restore", "latest", "--into", into, **both(shop, second))
    assert (restored.code, restored.result["backup"]) == (0, newer)
    with shop.server.connect() as connection:
        connection.execute(f"DROP DATABASE {into}".encode())
    assert shop("show", "latest", "--store", str(shop.folder), **both(shop, second)).result["id"] == first


def test_list_shows_every_store(shop: Shop, second: DirectoryStore) -> None:
    (first,) = shop.ids()
    plant(shop.store, first, 2 * HOUR, 3 * HOUR, to=second)
    listed = shop("list", **both(shop, second)).result["backups"]
    assert [each["store"] for each in listed] == [str(shop.folder), second.url, second.url]
    told = shop.pgproof("list", **both(shop, second)).stdout
    assert told.index(f"{shop.folder}:") < told.index(first) < told.index(f"{second.url}:")


def test_a_store_that_does_not_answer_is_told_and_the_others_are_asked(shop: Shop, tmp_path: Path) -> None:
    (first,) = shop.ids()
    lost = tmp_path / "mount" / "backups"
    environ = {"PGPROOF_STORE": f"{lost},{shop.folder}"}
    found = shop("show", "latest", **environ)
    assert (found.code, found.result["id"]) == (0, first)
    assert found.stderr.count("no backup from this store") == 1
    listed = shop("list", **environ)
    assert listed.code == 6
    assert listed.stdout.count(first) == 1
    held = shop("hold", "latest", **environ)
    assert held.code == 6
    assert shop.backups()[0]["held"]
    pruned = shop("prune", **environ)
    assert (pruned.code, str(lost.parent) in pruned.complaint) == (6, True)


def test_every_store_is_pruned_after_a_backup(shop: Shop, second: DirectoryStore) -> None:
    (first,) = shop.ids()
    for store in (shop.store, second):
        plant(shop.store, first, 2 * DAY, 3 * DAY, to=store)
    made = shop.back_up(**both(shop, second))
    assert shop.ids() == [made, first]
    assert {key.split("/")[1] for key in keys_of(second, f"{TARGET}/")} == {made}


@contextmanager
def slow(port: int, rate: int) -> Iterator[int]:
    """The port of a line to a server that lets so many bytes pass in a second."""

    class Slow(Proxy):
        def _count(self, data: bytes) -> tuple[bytes, bool]:
            time.sleep(len(data) / rate)
            return super()._count(data)

    proxy = Slow("127.0.0.1", port)
    try:
        yield proxy.port
    finally:
        proxy.close()


def peak(running: Running) -> int:
    """The most memory that a command holds until it ends, in bytes."""
    process = psutil.Process(running.pid)
    most = 0

    def ended() -> bool:
        nonlocal most
        try:
            most = max(most, process.memory_info().rss)
        except psutil.Error:
            return True
        return not running.is_running()

    while not ended():
        time.sleep(0.02)
    return most


def test_a_slow_store_makes_a_backup_slow_and_not_large(
    pg18: Server, new_database: NewDatabase, tmp_path: Path, s3_server: S3Server, bucket: str
) -> None:
    # slow: 200 MB have to pass, else memory that grows with them would not be seen
    shop = shop_of(pg18, new_database(pg18), tmp_path, PGPROOF_COMPRESSION="none", PGPROOF_PROOF="off")
    shop.run("CREATE TABLE wide AS SELECT repeat(md5(n::text), 16384) AS note FROM generate_series(1, 400) n")
    with slow(s3_server.port, 15 << 20) as port:
        environ = {
            **s3_environ(s3_server, bucket, port=port),
            "PGPROOF_STORE": f"{shop.folder},s3://{bucket}",
        }
        with shop.pgproof.start("backup", "--json", **environ) as running:
            most = peak(running)
            ended = running.finish()
    assert ended.code == 0, ended
    assert sum(stored.bytes for stored in shop.store.list("")) > 200 << 20
    assert most < LIMIT


def test_verify_reads_the_backups_of_every_store(shop: Shop, second: DirectoryStore) -> None:
    (first,) = shop.ids()
    plant(shop.store, first, 2 * HOUR, to=second)
    whole = shop("verify", "--all", **both(shop, second))
    assert (whole.code, len(whole.result["verified"])) == (0, 2)
    next(Path(second.url).rglob("dump.*")).write_bytes(b"rotten")
    rotten = shop("verify", "--all", **both(shop, second))
    assert (rotten.code, len(rotten.result["verified"]), len(rotten.result["failed"])) == (7, 1, 1)
