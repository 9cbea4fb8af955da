"""A live database, its store and the command, for the tests of `--replace`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fixtures.postgres import Role, Server
from tests.support.command import Command, Finished
from tests.support.pgproof import column, run

TARGET = "shop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """A database that is in use, and is to be replaced."""

    server: Server
    name: str
    pgproof: Command
    roles: list[Role] = field(default_factory=list)

    @classmethod
    def made(cls, server: Server, name: str, home: Path, roles: list[Role] | None = None) -> Live:
        """Fill an empty database with three orders."""
        run(
            server,
            name,
            "CREATE TABLE orders (id int PRIMARY KEY, note text); INSERT INTO orders SELECT generate_series(1, 3)",
        )
        environ = {
            "PGPROOF_DATABASE_URL": server.url(name),
            "PGPROOF_STORE": str(home / "store"),
            "PGPROOF_TARGET": TARGET,
            "PGPROOF_PG_BIN": str(server.bin_dir),
        }
        return cls(server=server, name=name, pgproof=Command(home=home, environ=environ), roles=roles or [])

    def backed_up(self, **environ: str) -> str:
        """The id of a backup of it."""
        done = self.pgproof("backup", "--json", **environ)
        assert done.code == 0, done
        made: str = done.result["id"]
        return made

    def break_it(self) -> None:
        """Lose two orders."""
        run(self.server, self.name, "DELETE FROM orders WHERE id > 1")

    def replace(self, backup: str, *options: str, **environ: str) -> Finished:
        """Replace it, and say how that ended."""
        return self.pgproof("restore", backup, "--replace", "--confirm", self.name, *options, "--json", **environ)

    def replaced(self, backup: str, *options: str, **environ: str) -> Any:  # noqa: ANN401 -- JSON
        """What is told of that; it must end well."""
        done = self.replace(backup, *options, **environ)
        assert done.code == 0, done
        return done.result

    def ids(self) -> list[str]:
        """Of all backups."""
        return [each["id"] for each in self.pgproof("list", "--json").result["backups"]]

    def role(self) -> str:
        """The name of another role each time."""
        return self.roles.pop().name

    def drop_others(self) -> None:
        """Drop what a replacement has left under names that were cut."""
        with self.server.connect() as connection:
            for name in self.server.databases():
                if "_replac" in name:
                    quoted = name.replace('"', '""')
                    connection.execute(f'DROP DATABASE "{quoted}" WITH (FORCE)'.encode())


def names(live: Live) -> list[str]:
    """The databases that come from it."""
    return sorted(name for name in live.server.databases() if name.startswith(live.name))


def orders(server: Server, name: str) -> list[Any]:
    """The numbers of the orders that a database has."""
    return column(server, name, "SELECT id FROM orders ORDER BY id")
