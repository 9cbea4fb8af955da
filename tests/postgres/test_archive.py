"""What is read of an archive without its data: the head, entries, large objects, forged headers."""

from __future__ import annotations

import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backup.domain.toc import Entry
from backup.errors import ConfigurationError, IntegrityFailed, StoreUnreachable
from backup.postgres.archive import open_archive, read_through
from backup.postgres.clients import Client
from backup.stores.directory import DirectoryStore
from backup.stream.readers import ByteReader, BytesReader, Counted
from tests.fixtures.postgres import NewDatabase, Server
from tests.support.pgproof import ENVIRON, backed_up, clients_of, make_restorer, restored, rows, run


@pytest.fixture
def client(pg18: Server) -> Client:
    (found,) = clients_of(pg18)
    return found


def dump(server: Server, database: str, store: DirectoryStore) -> bytes:
    backup = backed_up(server, database, store)
    return Path(store.url, backup.target, backup.id, "dump.pgc.000").read_bytes()


def entries_of(content: bytes, client: Client, *, head_limit: int = 1 << 20) -> tuple[Entry, ...]:
    @contextmanager
    def open_dump() -> Iterator[ByteReader]:
        yield BytesReader(content)

    with open_archive(open_dump, client, ENVIRON, head_limit=head_limit) as archive:
        return archive.entries()


def test_only_the_head_is_read_and_kept(
    pg18: Server, client: Client, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    run(pg18, name, "CREATE TABLE t AS SELECT repeat('x', 100) AS t FROM generate_series(1, 100000)")
    content = dump(pg18, name, store)
    counted = Counted(BytesReader(content))

    @contextmanager
    def open_dump() -> Iterator[ByteReader]:
        yield counted

    with open_archive(open_dump, client, ENVIRON) as archive:
        assert archive.head is not None
        assert archive.head.stat().st_size == counted.bytes == 1 << 20
        assert [entry.name for entry in archive.entries() if entry.kind == "TABLE"] == ["t"]
        folder = archive.folder
    assert not folder.exists()


def test_a_head_that_does_not_fit_into_the_folder_for_temporary_files_is_told(
    pg18: Server, client: Client, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    run(pg18, name, "CREATE TABLE t AS SELECT repeat('x', 100) AS t FROM generate_series(1, 20000)")
    content = dump(pg18, name, store)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512 << 10, before[1]))
    try:
        with pytest.raises(ConfigurationError, match="temporary files cannot be written") as caught:
            entries_of(content, client)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "TMPDIR" in (caught.value.hint or "")
    assert "File too large" in (caught.value.detail or "")


def test_a_store_that_breaks_while_the_archive_is_asked_leaves_nobody_reading(
    pg18: Server, client: Client, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    run(pg18, name, "CREATE TABLE t AS SELECT repeat('x', 100) AS t FROM generate_series(1, 20000)")
    content = dump(pg18, name, store)
    opened: list[bool] = []

    class Breaking(BytesReader):
        """Breaks behind the first bytes of the second reading."""

        def read(self, size: int, /) -> bytes:
            data = super().read(min(size, 1 << 16))
            if len(opened) > 1 and not data.startswith(b"PGDMP"):
                raise StoreUnreachable("gone")
            return data

    @contextmanager
    def open_dump() -> Iterator[ByteReader]:
        opened.append(True)
        yield Breaking(content)

    threads = threading.active_count()
    with open_archive(open_dump, client, ENVIRON, head_limit=100) as archive:
        assert archive.head is None
        with pytest.raises(StoreUnreachable):
            archive.entries()
        assert threading.active_count() == threads


def test_a_head_beyond_the_limit_is_not_kept_and_gives_the_same_entries(
    pg18: Server, client: Client, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    run(pg18, name, "CREATE TABLE t (id int PRIMARY KEY); CREATE VIEW v AS SELECT * FROM t; SELECT lo_create(5)")
    content = dump(pg18, name, store)
    whole, again = (entries_of(content, client, head_limit=limit) for limit in (1 << 20, 100))
    assert [(entry.number, entry.kind, entry.name, entry.depends) for entry in whole] == [
        (entry.number, entry.kind, entry.name, entry.depends) for entry in again
    ]
    assert [entry.kind for entry in again if entry.name == "v"] == ["VIEW"]


@pytest.mark.parametrize("server", ["pg18", "system_server"])
def test_owners_and_grants_of_large_objects_are_known(
    request: pytest.FixtureRequest, new_database: NewDatabase, store: DirectoryStore, server: str
) -> None:
    place: Server = request.getfixturevalue(server)
    name = new_database(place)
    run(place, name, "SELECT lo_create(5); GRANT SELECT ON LARGE OBJECT 5 TO pg_monitor; SELECT lo_create(6)")
    run(place, name, "ALTER LARGE OBJECT 6 OWNER TO pg_database_owner; COMMENT ON LARGE OBJECT 5 IS 'five'")
    found = [entry for entry in entries_of(dump(place, name, store), clients_of(place)[0]) if entry.of_large_objects]
    text = "".join(entry.sql for entry in found)
    assert "ALTER LARGE OBJECT 6 OWNER TO pg_database_owner" in text
    assert "GRANT SELECT ON LARGE OBJECT 5 TO pg_monitor" in text
    assert "COMMENT ON LARGE OBJECT 5 IS 'five'" in text


def test_a_functions_body_cannot_pass_for_entries_of_its_own(
    pg18: Server, client: Client, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    forged = (
        "--\n-- TOC entry 1 (class 0 OID 0)\n-- Name: x; Type: DATABASE PROPERTIES; Schema: -; Owner: postgres\n"
        "--\n\nALTER ROLE postgres IN DATABASE x SET work_mem = ''99MB'';\n"
    )
    with pg18.connect(name) as connection:
        connection.execute(f"CREATE FUNCTION f() RETURNS text LANGUAGE sql AS '\n{forged}\nSELECT 1::text'".encode())
        connection.execute(f"COMMENT ON FUNCTION f() IS '\n{forged}'".encode())
    found = entries_of(dump(pg18, name, store), client)
    assert not [entry for entry in found if entry.kind == "DATABASE PROPERTIES"]
    (function,) = [entry for entry in found if entry.kind == "FUNCTION"]
    assert "TOC entry 1 " in function.sql
    restored(backed_up(pg18, name, store), store, make_restorer(pg18), f"{name}_again")
    assert rows(pg18, f"{name}_again", "SELECT count(*) FROM pg_db_role_setting") == [(0,)]


def test_what_is_no_archive_or_a_cut_one_is_refused(
    pg18: Server, client: Client, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    run(pg18, name, "CREATE TABLE t AS SELECT 1 AS a")
    content = dump(pg18, name, store)
    for broken in (b"", b"no archive at all", content[:500]):
        with pytest.raises(IntegrityFailed, match="table of contents"):
            entries_of(broken, client)
    with pytest.raises(IntegrityFailed, match="read to its end"):
        read_through(client, BytesReader(content[:-3]), ENVIRON)
    read_through(client, BytesReader(content), ENVIRON)
