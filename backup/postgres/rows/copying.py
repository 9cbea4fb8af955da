"""COPY from a server, as bytes: by psql, which hands on blocks where psycopg makes an object of each row.

Owns psql's command line. Where there is none, psycopg reads all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import psycopg
from psycopg import errors as sql_errors

from backup.errors import DumpFailed
from backup.postgres.address import Address
from backup.postgres.connection import connect, is_lost, translate
from backup.postgres.dump import WholeOutput
from backup.stream.child import Child
from backup.stream.readers import ByteReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Copying:
    """How a server is asked.

    Attributes:
        encoding: of the text that it sends.
        psql: the path of the program; None where there is none.
        environ: of it.
    """

    address: Address
    encoding: str
    psql: str | None
    environ: Mapping[str, str] = field(repr=False)
    connect_timeout: int

    def run(self, commands: Sequence[str]) -> AbstractContextManager[ByteReader]:
        """What the last of the commands, a COPY, gives; the reader's end comes only after it has ended well.

        Raises:
            DumpFailed, AccessDenied, DatabaseUnreachable: it did not; by the reader too.
        """
        return self._by_psql(commands) if self.psql else self._by_connection(commands)

    @contextmanager
    def _by_psql(self, commands: Sequence[str]) -> Iterator[ByteReader]:
        argv = [
            str(self.psql),
            "--no-psqlrc",
            "--no-password",
            "--quiet",
            "--set=ON_ERROR_STOP=1",
            *(f"--command={each}" for each in commands),
            f"--dbname={self.address.argument()}",
        ]
        env = self.address.environment(self.environ) | {"PGCLIENTENCODING": self.encoding}
        try:
            child = Child(argv, env=env, stdout=True)
        except OSError as error:
            raise DumpFailed(f"{argv[0]} cannot be started", detail=error.strerror) from error
        with child:
            yield WholeOutput(child)

    @contextmanager
    def _by_connection(self, commands: Sequence[str]) -> Iterator[ByteReader]:
        *before, copying = (each.encode() for each in commands)
        with connect(self.address, connect_timeout=self.connect_timeout) as connection:
            try:
                for each in before:
                    connection.execute(each)
                with connection.cursor() as cursor, cursor.copy(copying) as copy:
                    yield _Copied(copy)
            except psycopg.Error as error:
                if is_lost(error) or isinstance(error, sql_errors.InsufficientPrivilege):
                    raise translate(error, self.address) from error
                raise DumpFailed("the rows could not be read", detail=str(error).strip()) from error


class _Copied:
    """What COPY gives, in larger pieces than rows."""

    def __init__(self, copy: psycopg.Copy) -> None:
        self._rows = iter(copy)
        self._held = bytearray()

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes. Raises psycopg.Error."""
        while len(self._held) < size:
            row = next(self._rows, None)
            if row is None:
                break
            self._held += row
        piece = bytes(self._held[:size])
        del self._held[:size]
        return piece
