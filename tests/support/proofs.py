"""Proofs of databases for tests: of what a database holds now, of a backup, and of what was restored from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import LiteralString

from backup.domain.comparison import Comparison, Difference, differences
from backup.domain.manifest import Manifest
from backup.domain.patterns import excluded
from backup.domain.proof import CONTENT, Mode, Proof
from backup.ports import Engine, Store
from backup.postgres.connection import connect
from backup.postgres.dump import DumpOptions, PgDumpEngine
from backup.postgres.facts import FactReader
from backup.postgres.prover import ProofOptions, take_proof
from backup.postgres.session import settle
from backup.postgres.snapshot import HeldSnapshot
from backup.workflow.back_up import BackUpChoice, back_up
from backup.workflow.catalog import Catalog
from backup.workflow.copies import Copies
from backup.workflow.restore import prove
from tests.fixtures.postgres import Role, Server
from tests.support.pgproof import (
    ENVIRON,
    PLAIN,
    address_of,
    clients_of,
    make_restorer,
    make_source,
    now,
    restored,
)

LONG = 60.0


def take(
    server: Server, database: str, *, mode: Mode = "full", seconds: float = LONG, role: Role | None = None
) -> Proof:
    """What the database holds now."""
    with connect(address_of(server, database, role)) as connection:
        settle(connection)
        return take_proof(connection, mode, server_version="18.0", seconds=seconds)


@contextmanager
def reading(
    server: Server, database: str, *, seconds: float = LONG, most_objects: int = 10_000, role: Role | None = None
) -> Iterator[FactReader]:
    """A reader of facts, settled in its transaction."""
    with connect(address_of(server, database, role)) as connection:
        settle(connection)
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        reader = FactReader(connection, "full", seconds=seconds, most_objects=most_objects)
        reader.settle(parallel=False)
        yield reader


def contents(proof: Proof) -> dict[str, object]:
    """The fingerprints of the tables by name."""
    return {fact.name: value for fact, value in proof.facts.items() if fact.kind == CONTENT}


def unproven_by(proof: Proof, kind: str = "rows") -> dict[str, str]:
    """Names of one kind that are unproven, with the reason."""
    return {fact.name: reason for fact, reason in proof.unproven.items() if fact.kind == kind}


def apart(expected: Proof, found: Proof) -> list[Difference]:
    """Where two proofs differ."""
    return list(differences(expected.facts, found.facts, unproven={*expected.unproven, *found.unproven}))


def proving_engine(
    server: Server, options: DumpOptions | None = None, *, mode: Mode = "full", seconds: float = LONG
) -> PgDumpEngine:
    """An engine as bootstrap makes it, that proves what it dumps."""
    options = options or DumpOptions(globals="off")
    proof = ProofOptions(
        mode=mode,
        seconds=seconds,
        excluded=excluded(options.exclude_schemas, options.exclude_tables),
        without_rows=excluded((), options.exclude_table_data),
    )
    return PgDumpEngine(clients=clients_of(server), options=options, environ=ENVIRON, proof=proof)


def proven_backup(server: Server, database: str, store: Store, engine: Engine[HeldSnapshot] | None = None) -> Manifest:
    """A backup with a proof."""
    return back_up(
        make_source(server, database),
        engine or proving_engine(server),
        Copies(store),
        BackUpChoice(target="it", encoding=PLAIN),
        clock=now,
    )


def proof_of(backup: Manifest, store: Store) -> Proof:
    """The proof that is stored with it."""
    proof = Catalog(store).proof_of(backup)
    assert proof is not None, backup.warnings
    return proof


def held_against(backup: Manifest, store: Store, server: Server, into: str, *servers: Server) -> Comparison:
    """The backup, restored as `into` and compared with its proof; with the clients of `servers` too."""
    restorer = make_restorer(server, clients=clients_of(server, *servers))
    report = restored(backup, store, restorer, into)
    found = prove(backup, store, restorer, report, within=LONG)
    assert found is not None
    return found


def real(comparison: Comparison) -> Sequence[str]:
    """The differences that disprove, as text."""
    return [each.text for each in comparison.differences if not each.noted]


def fill(server: Server, database: str, *statements: LiteralString) -> None:
    """Carry out statements, each in a transaction of its own."""
    with server.connect(database) as connection:
        for statement in statements:
            connection.execute(statement)
