"""Rows that come back into a database, as the program brings them, and how that is looked at."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from backup.domain.row_return import ReturnedTable, find_table
from backup.domain.rows import Catalogue, Relation
from backup.errors import PgproofError, RestoreFailed
from backup.postgres.address import Address
from backup.postgres.connection import connect
from backup.postgres.rows.catalogue import read_catalogue, search_path
from backup.postgres.rows.returning import RowStream, bring_back, put_rows
from backup.postgres.session import settle
from backup.stream.readers import ByteReader, BytesReader
from tests.fixtures.postgres import NewRole, Server

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Base:
    """A database, and rows that come back into it as a role."""

    server: Server
    name: str
    url: str

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        with self.server.connect(self.name) as connection:
            found = connection.execute(statement.encode())
            return found.fetchall() if found.description else []

    def bring(
        self,
        *tables: tuple[str, Sequence[Row]],
        upsert: bool = False,
        disable_triggers: bool = False,
        lock_timeout: str = "0",
    ) -> dict[str, tuple[int, int, int, int]]:
        """Read, inserted, updated, unchanged by table."""
        with connect(Address.parse(self.url)) as connection:
            path = search_path(connection)
            settle(connection)
            connection.execute("SELECT set_config('lock_timeout', %s, false)", [lock_timeout])
            with connection.transaction():
                catalogue = read_catalogue(connection, path)
                streams = [stream_of(found(name, catalogue), rows) for name, rows in tables]
                done = bring_back(connection, streams, catalogue, upsert=upsert, disable_triggers=disable_triggers)
        return {each.table: figures(each) for each in done}

    def put(self, name: str, rows: Sequence[Row], **options: Any) -> int:  # noqa: ANN401 -- of RowStream
        with connect(Address.parse(self.url)) as connection:
            path = search_path(connection)
            settle(connection)
            with connection.transaction():
                return put_rows(connection, stream_of(found(name, read_catalogue(connection, path)), rows, **options))

    def refused(
        self,
        *tables: tuple[str, Sequence[Row]],
        kind: type[PgproofError] = RestoreFailed,
        upsert: bool = False,
        disable_triggers: bool = False,
    ) -> PgproofError:
        """Why they do not come, with everything as it was."""
        before = self.contents()
        with pytest.raises(kind) as caught:
            self.bring(*tables, upsert=upsert, disable_triggers=disable_triggers)
        assert self.contents() == before
        return caught.value

    def contents(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row, and the states of triggers and foreign keys."""
        tables = self.sql("""SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
            WHERE schemaname !~ '^pg_' AND schemaname <> 'information_schema'""")
        rows = {name: self.sql(f"SELECT t.*::text FROM {name} AS t ORDER BY 1") for (name,) in tables}
        return {**rows, "states": self.states()}

    def states(self) -> list[tuple[Any, ...]]:
        return self.sql("""SELECT tgrelid::regclass::text, tgname::text, tgenabled::text FROM pg_trigger
            WHERE NOT tgisinternal
            UNION ALL SELECT conrelid::regclass::text, conname, concat(condeferrable, condeferred) FROM pg_constraint
            WHERE contype = 'f' ORDER BY 1, 2""")


def figures(each: ReturnedTable) -> tuple[int, int, int, int]:
    return each.read, each.inserted, each.updated, each.unchanged


def found(name: str, catalogue: Catalogue) -> Relation:
    relation = find_table(name, catalogue)
    assert isinstance(relation, Relation), relation
    return relation


def stream_of(
    relation: Relation,
    rows: Sequence[Row],
    *,
    ascii_only: bool = True,
    **options: Any,  # noqa: ANN401 -- of RowStream
) -> RowStream:
    data = b"".join(json.dumps(row, ensure_ascii=ascii_only).encode() + b"\n" for row in rows)

    @contextmanager
    def opened() -> Iterator[ByteReader]:
        yield BytesReader(data)

    columns = tuple(rows[0]) if rows else tuple(each.name for each in relation.columns)
    return RowStream(relation=relation, columns=columns, open=opened, **options)


def numbered(numbers: Iterable[int], **more: Any) -> list[Row]:  # noqa: ANN401 -- JSON
    return [{"id": n, **more} for n in numbers]


def as_role(base: Base, new_role: NewRole, *grants: str) -> tuple[Base, str]:
    role = new_role(base.server)
    for grant in grants:
        base.sql(f"GRANT {grant} TO {role.name}")
    return Base(base.server, base.name, base.server.url(base.name, user=role.name, password=role.password)), role.name
