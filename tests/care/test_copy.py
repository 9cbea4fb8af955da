"""Copies of backups in another store: byte for byte, verified on the way, and taken up again where they broke off."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from backup.demo.s3_server import S3Server
from backup.domain.manifest import MANIFEST_NAME
from backup.domain.marks import ACCEPTED, HOLD, Mark
from backup.ports import Store
from backup.stores.directory import DirectoryStore
from backup.stream.readers import BytesReader
from tests.care.conftest import DAY, HOUR, Shop, all_of, content_of, keys_of, moment_of, now, plant, reasons
from tests.failures.conftest import TARGET, s3_environ
from tests.failures.holding import holding
from tests.fixtures.s3 import s3_store, unfinished_uploads

_MIB = 1 << 20


@pytest.fixture
def other(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "other")


@pytest.mark.parametrize("way", ["into s3", "out of s3", "directories"])
def test_a_copy_is_the_same_byte_for_byte_and_verifies_and_restores(
    shop: Shop, other: DirectoryStore, request: pytest.FixtureRequest, way: str
) -> None:
    (first,) = shop.ids()
    source: Store = shop.store
    to: Store = other
    environ: dict[str, str] = {}
    if way != "directories":
        server, bucket = request.getfixturevalue("s3_server"), request.getfixturevalue("bucket")
        environ = s3_environ(server, bucket)
        cloud = s3_store(server, bucket, "prod")
        if way == "into s3":
            to = cloud
        else:
            plant(shop.store, first, now() - moment_of(first), to=cloud)
            source = cloud
    environ |= {"PGPROOF_STORE": f"{source.url},{to.url}"}
    done = shop("copy", "latest", "--to", to.url, **environ)
    assert done.code == 0, done
    stored = sum(len(data) for key, data in all_of(source).items() if not key.endswith(MANIFEST_NAME))
    assert done.result == {
        "source": source.url,
        "store": to.url,
        "copied": [{"id": first, "sent_bytes": stored, "found_bytes": 0}],
    }
    assert all_of(to) == all_of(source)
    assert len(all_of(to)) == 3
    only = {**environ, "PGPROOF_STORE": to.url}
    assert shop("verify", first, **only).code == 0
    into = f"{shop.database}_copied"
    restored = shop("restore", first, "--into", into, **only)
    assert (restored.code, restored.result["proven"]) == (0, True)
    with shop.server.connect() as connection:
        connection.execute(f"DROP DATABASE {into}".encode())


def test_a_copy_that_was_made_before_is_left_as_it_is(shop: Shop, other: DirectoryStore) -> None:
    assert shop("copy", "latest", "--to", other.url).code == 0
    before = {stored.key: stored for stored in other.list("")}
    again = shop("copy", "latest", "--to", other.url)
    assert again.code == 0
    assert again.result["copied"][0]["sent_bytes"] == 0
    assert {stored.key: stored for stored in other.list("")} == before


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_a_copy_that_was_interrupted_is_no_backup_and_is_taken_up_where_it_broke_off(
    large: Shop, s3_server: S3Server, bucket: str, signum: signal.Signals
) -> None:
    made = large.back_up(PGPROOF_VOLUME_SIZE="1MiB")
    cloud = s3_store(s3_server, bucket)
    with holding("127.0.0.1", s3_server.port) as proxy:
        proxy.hold_after(7 * _MIB + _MIB // 2)
        environ = s3_environ(s3_server, bucket, port=proxy.port)
        both = {**environ, "PGPROOF_STORE": f"{large.folder},s3://{bucket}"}
        with large.pgproof.start("copy", made, "--to", f"s3://{bucket}", "--json", **both) as running:
            running.wait_for(proxy.is_holding)
            running.signal(signum)
            proxy.release()
            assert running.finish().code == (-signum if signum == signal.SIGKILL else 128 + signum)
    parts = _settled(cloud)
    assert 4 < len(parts) < 10
    assert not [key for key in parts if key.endswith(MANIFEST_NAME)]
    assert large("list", **s3_environ(s3_server, bucket)).code == 9
    both |= s3_environ(s3_server, bucket) | {"PGPROOF_STORE": f"{large.folder},s3://{bucket}"}
    done = large("copy", made, "--to", f"s3://{bucket}", **both)
    assert done.code == 0, done
    (copied,) = done.result["copied"]
    assert copied["found_bytes"] == sum(len(data) for data in parts.values())
    assert copied["sent_bytes"] > 0
    assert _lasting(cloud) == _lasting(large.store)
    assert unfinished_uploads(cloud) == []
    assert large("verify", made, **s3_environ(s3_server, bucket)).code == 0


def _settled(store: Store) -> dict[str, bytes]:
    """The same once nothing arrives any more: what was sent before the end of the sender."""
    before = _lasting(store)
    while True:
        time.sleep(0.5)
        after = _lasting(store)
        if after == before:
            return after
        before = after


def _lasting(store: Store) -> dict[str, bytes]:
    """Every object but the marks that a run that was killed has left for a while."""
    return {key: data for key, data in all_of(store).items() if "/shields/" not in key}


def test_what_is_there_but_not_the_same_is_copied_again(shop: Shop, other: DirectoryStore) -> None:
    (first,) = shop.ids()
    keys = [key for key in keys_of(shop.store) if not key.endswith(MANIFEST_NAME)]
    other.put(keys[0], BytesReader(b"x" * len(content_of(shop.store, keys[0]))))
    other.put(keys[1], BytesReader(content_of(shop.store, keys[1])[:-1]))
    done = shop("copy", first, "--to", other.url)
    assert done.result["copied"][0]["found_bytes"] == 0
    assert all_of(other) == all_of(shop.store)


@pytest.mark.parametrize("damage", ["a flipped bit", "cut short", "missing"])
def test_a_backup_that_is_damaged_where_it_is_is_not_copied(shop: Shop, other: DirectoryStore, damage: str) -> None:
    (first,) = shop.ids()
    path = next(shop.of(first).glob("proof.*"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data[:-1] if damage == "cut short" else data)
    if damage == "missing":
        path.unlink()
    ended = shop("copy", first, "--to", other.url)
    assert ended.code == 7, ended
    assert path.name in ended.complaint
    assert not [key for key in keys_of(other) if key.endswith((MANIFEST_NAME, path.name))]
    assert shop("list", PGPROOF_STORE=other.url).code == 9


def test_another_backup_of_the_same_id_there_is_7_and_nothing_is_overwritten(shop: Shop, other: DirectoryStore) -> None:
    (first,) = shop.ids()
    made = shop.back_up(PGPROOF_STORE=other.url)
    (other_id,) = plant(other, made, now() - moment_of(first))
    assert other_id == first
    before = all_of(other)
    ended = shop("copy", first, "--to", other.url)
    assert (ended.code, ended.error["code"]) == (7, "object_exists")
    assert f"has another backup {first}" in ended.complaint
    assert all_of(other) == before


def test_what_was_found_out_about_it_goes_with_it_and_a_hold_does_not(shop: Shop, other: DirectoryStore) -> None:
    (first,) = shop.ids()
    assert shop("drill", first).code == 0
    assert shop("hold", first).code == 0
    accepted = Mark(time=now(), text="as it is").to_json()
    shop.store.put(f"{TARGET}/{first}/{ACCEPTED}", BytesReader(accepted))
    assert shop("copy", first, "--to", other.url).code == 0
    source, copied = all_of(shop.store), all_of(other)
    assert copied == {key: data for key, data in source.items() if not key.endswith(HOLD)}
    assert len([key for key in copied if "/drills/" in key]) == 1
    assert shop("show", "latest-proven", PGPROOF_STORE=other.url).result["id"] == first
    assert shop("drill", first).code == 0
    assert shop("copy", first, "--to", other.url).code == 0
    assert len([key for key in all_of(other) if "/drills/" in key]) == 2


def test_all_that_are_older_go_into_the_archive(shop: Shop, other: DirectoryStore) -> None:
    (first,) = shop.ids()
    _, *old = plant(shop.store, first, 29 * DAY, 30 * DAY + HOUR, 50 * DAY)
    done = shop("copy", "--older-than", "30d", "--to", other.url)
    assert [each["id"] for each in done.result["copied"]] == old[::-1]
    assert shop.ids(PGPROOF_STORE=other.url) == old
    assert len(shop.ids()) == 4
    none = shop("copy", "--older-than", "51d", "--to", other.url)
    assert (none.code, none.error["code"]) == (9, "not_found")


def test_a_backup_that_is_being_copied_is_not_pruned(large: Shop, s3_server: S3Server, bucket: str) -> None:
    made = large.back_up(PGPROOF_VOLUME_SIZE="1MiB")
    (old,) = plant(large.store, made, 9 * DAY)
    last = {"PGPROOF_RETENTION": "keep-last=1"}
    with holding("127.0.0.1", s3_server.port) as proxy:
        proxy.hold_after(3 * _MIB)
        both = {
            **s3_environ(s3_server, bucket, port=proxy.port),
            "PGPROOF_STORE": f"{large.folder},s3://{bucket}",
        }
        with large.pgproof.start("copy", old, "--to", f"s3://{bucket}", "--json", **both) as running:
            running.wait_for(proxy.is_holding)
            assert reasons(large.prune(**last))[old] == "being read"
            proxy.release()
            ended = running.finish()
    assert ended.code == 0, ended
    large.prune(**last)
    assert large.ids() == [made]
    assert large.ids(**s3_environ(s3_server, bucket)) == [old]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("copy", "latest"), "where to"),
        (("copy", "--to", "/tmp/x"), "either BACKUP or --older-than"),
        (("copy", "latest", "--older-than", "3d", "--to", "/tmp/x"), "either BACKUP or --older-than"),
        (("copy", "latest", "--to", "{store}"), "not copied into the store that it is in"),
        (("copy", "latest", "--to", "nowhere"), "there is no store"),
        (("copy", "--older-than", "soon", "--to", "/tmp/x"), "is not a length of time"),
    ],
)
def test_a_copy_that_cannot_be_meant_is_2(shop: Shop, arguments: tuple[str, ...], says: str) -> None:
    ended = shop(*(each.format(store=shop.folder) for each in arguments))
    assert (ended.code, says in ended.complaint) == (2, True), ended


def test_of_more_stores_than_two_one_must_be_chosen(shop: Shop, tmp_path: Path) -> None:
    all_stores = {"PGPROOF_STORE": ",".join(str(each) for each in (shop.folder, tmp_path / "b", tmp_path / "c"))}
    ended = shop("copy", "latest", "--to", str(tmp_path / "c"), **all_stores)
    assert (ended.code, str(shop.folder) in ended.hint) == (2, True)
    chosen = shop("copy", "latest", "--to", str(tmp_path / "c"), "--store", str(shop.folder), **all_stores)
    assert chosen.code == 0, chosen
