from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from pydantic import SecretStr

from backup.demo.s3_server import S3Server
from backup.domain.checks import Check
from backup.domain.manifest import Database
from backup.errors import (
    AccessDenied,
    ConfigurationError,
    IntegrityFailed,
    Interrupted,
    PgproofError,
    StoreMissing,
    StoreUnreachable,
)
from backup.ports import Snapshot, Store, StoredObject
from backup.stores.credentials import find_keys
from backup.stores.directory import DirectoryStore
from backup.stores.s3 import S3Store
from backup.stream.readers import ByteReader, BytesReader
from backup.workflow.doctor import doctor, preflight, store_checks
from tests.contracts.memory_store import MemoryStore
from tests.fixtures.s3 import IMPATIENT, s3_store

NAMES = ["store write", "store read", "store list", "store multipart", "store clock", "store delete"]


def now() -> datetime:
    return datetime.now(UTC)


def clock(minutes: int) -> datetime:
    return now() + timedelta(minutes=minutes)


@pytest.fixture(params=["memory", "directory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "memory":
        return MemoryStore()
    if request.param == "directory":
        return DirectoryStore(tmp_path / "backups")
    return s3_store(request.getfixturevalue("s3_server"), request.getfixturevalue("bucket"), "a/prefix")


def test_a_good_store_passes_every_check_and_keeps_nothing_of_the_probe(store: Store) -> None:
    found = list(store_checks(store, now))
    assert [each.name for each in found] == NAMES
    assert {each.verdict for each in found} == {"ok"}
    assert list(store.list("")) == []


def test_a_check_that_is_not_awaited_leaves_nothing_either(store: Store) -> None:
    checks = store_checks(store, now)
    assert next(checks).verdict == "ok"
    assert len(list(store.list(""))) == 1
    del checks
    assert list(store.list("")) == []


def test_the_clocks_may_differ_by_five_minutes(store: Store) -> None:
    for minutes, verdict in ((4, "ok"), (-4, "ok"), (6, "warn"), (-6, "warn")):
        found = {each.name: each for each in store_checks(store, partial(clock, minutes), multipart_bytes=1)}
        assert found["store clock"].verdict == verdict
    assert "ahead of ours" in found["store clock"].message


def test_a_bucket_that_is_missing_is_told(s3_server: S3Server) -> None:
    (found,) = store_checks(s3_store(s3_server, "test-no-such-bucket"), now)
    assert (found.verdict, found.error) == ("fail", StoreMissing)


def test_a_wrong_key_is_told(s3_server: S3Server, bucket: str) -> None:
    keys = find_keys(replace(s3_server.keys, secret_key=SecretStr("wrong")), {})
    (found,) = store_checks(S3Store(s3_server.address(bucket, ""), keys, part_size=5 << 20), now)
    assert (found.verdict, found.error, found.to_error().status) == ("fail", AccessDenied, 14)


CLOSED = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from backup.stores.directory import DirectoryStore
from backup.workflow.doctor import store_checks
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
for check in store_checks(DirectoryStore(Path(sys.argv[1])), lambda: datetime.now(UTC)):
    print(check.name, check.verdict, check.error.exit_code, check.hint, sep=", ")
"""


def test_a_folder_of_somebody_else_is_a_finding() -> None:
    with TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        root = Path(folder, "backups")
        root.mkdir(mode=0o000)
        ran = subprocess.run([sys.executable, "-c", CLOSED, str(root)], check=True, capture_output=True, text=True)
    assert ran.stdout == "store write, fail, 14, give the user that runs pgproof the right to write there\n"


def test_a_server_that_does_not_answer_is_told(s3_server: S3Server, bucket: str) -> None:
    (found,) = store_checks(s3_store(s3_server, bucket, port=1, patience=IMPATIENT), now)
    assert (found.verdict, found.error, found.to_error().status) == ("fail", StoreUnreachable, 6)


class LyingStore(MemoryStore):
    """Gives back other bytes than it was given."""

    @contextmanager
    def open(self, key: str, /) -> Iterator[ByteReader]:
        with super().open(key) as reader:
            yield BytesReader(reader.read(10))


class BlindStore(MemoryStore):
    """Lists nothing of what it has, as a store that is consistent only in the end."""

    def list(self, _prefix: str, /) -> Iterator[StoredObject]:
        return iter(())


class KeepingStore(MemoryStore):
    """Lets nobody delete."""

    def delete(self, key: str, /) -> None:
        raise AccessDenied(f"may not delete {key}")


class SmallStore(MemoryStore):
    """Takes small objects alone."""

    def put(self, key: str, data: ByteReader, /, *, new: bool = False) -> StoredObject:
        if key.endswith("multipart"):
            raise StoreUnreachable("no multipart upload here")
        return super().put(key, data, new=new)


def verdicts(store: Store) -> dict[str, str]:
    return {each.name: each.verdict for each in store_checks(store, now) if each.verdict != "ok"}


def test_a_store_that_alters_bytes_fails() -> None:
    store = LyingStore()
    found = {each.name: each for each in store_checks(store, now)}
    assert verdicts(store) == {"store read": "fail", "store multipart": "fail"}
    assert found["store read"].error is IntegrityFailed


def test_a_store_that_does_not_list_fails() -> None:
    assert verdicts(BlindStore()) == {"store list": "fail"}


def test_a_store_that_takes_no_large_object_fails() -> None:
    assert verdicts(SmallStore()) == {"store multipart": "fail"}


def test_a_store_where_nothing_may_be_deleted_is_a_warning() -> None:
    assert verdicts(KeepingStore()) == {"store delete": "warn"}


@dataclass(frozen=True)
class GivenSource:
    """A source with these findings, or this failure."""

    found: tuple[Check, ...] = ()
    failure: Callable[[], PgproofError] | None = None

    def checks(self) -> Iterator[Check]:
        yield from self.found
        if self.failure:
            raise self.failure()

    def database(self) -> Database:
        raise NotImplementedError

    def snapshot(self, target: str) -> AbstractContextManager[Snapshot]:
        raise NotImplementedError(target)


GOOD = Check(name="address", verdict="ok", message="fine")
ODD = Check(name="standby", verdict="warn", message="no unlogged tables", hint="use the primary")
TABLES = Check(name="tables", verdict="fail", message="no SELECT on t", hint="GRANT 1;", error=AccessDenied)
OLD = Check(name="versions", verdict="fail", message="too old", hint="install 18", error=ConfigurationError)


def test_preflight_tells_the_warnings_and_keeps_no_more_than_their_names(capfd: pytest.CaptureFixture[str]) -> None:
    assert preflight(GivenSource((GOOD, ODD))) == ("standby",)
    assert "no unlogged tables" in capfd.readouterr().err


def test_preflight_fails_as_the_check_that_fails() -> None:
    with pytest.raises(AccessDenied, match=r"^no SELECT on t$") as caught:
        preflight(GivenSource((GOOD, TABLES)))
    assert caught.value.hint == "GRANT 1;"


def test_preflight_tells_all_that_fails_and_ends_as_the_first() -> None:
    with pytest.raises(ConfigurationError, match=r"^too old; no SELECT on t$") as caught:
        preflight(GivenSource((GOOD, OLD, ODD, TABLES)))
    assert caught.value.hint == "install 18\nGRANT 1;"


def test_doctor_tells_a_failure_and_goes_on_to_the_store() -> None:
    source = GivenSource((GOOD,), lambda: AccessDenied("not allowed", detail="said the server"))
    found = list(doctor(source, MemoryStore(), now))
    assert [each.name for each in found] == ["address", "database", *NAMES]
    assert (found[1].verdict, found[1].error) == ("fail", AccessDenied)


def test_doctor_does_not_take_a_signal_for_a_finding() -> None:
    with pytest.raises(Interrupted):
        list(doctor(GivenSource(failure=lambda: Interrupted(15)), MemoryStore(), now))
