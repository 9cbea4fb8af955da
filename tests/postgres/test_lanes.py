"""A dump in several lanes: what is in which, and that it comes back as it was."""

from __future__ import annotations

import re
import subprocess
import threading
from pathlib import Path

import pytest
from psycopg import sql

from backup.domain.lanes import lane_name
from backup.domain.manifest import Manifest, Part
from backup.errors import IntegrityFailed
from backup.postgres.dump import DumpOptions
from backup.stores.directory import DirectoryStore
from backup.workflow.back_up import BackUpChoice, back_up
from backup.workflow.catalog import Catalog
from backup.workflow.copies import Copies
from backup.workflow.verify import verify
from tests.fixtures.postgres import NewDatabase, NewRole, Server
from tests.support.compare import difference, facts
from tests.support.pgproof import (
    PLAIN,
    ZSTD,
    backed_up,
    clients_of,
    lanes,
    make_engine,
    make_restorer,
    make_source,
    now,
    restored,
    rows,
    run,
)
from tests.support.proofs import fill, held_against, proven_backup, proving_engine, real

STRANGE = (
    "Mixed Case",
    "a.b",
    'quo"ted',
    "sta*r",
    "que?stion",
    "dol$lar",
    "pi|pe",
    "br[ack]et",
    "arr[]ay",
    "brace{2}",
    "back\\slash",
    "grün",
    "表",
    "new\nline",
    "tab\tbed",
    "'single'",
    "^start",
    "(group)+",
    "percent %s %I",
    "-dash",
    " ",
)
"""Names that a pattern of pg_dump may mean something else by."""


def archive(backup: Manifest, store: DirectoryStore, part: Part, folder: Path) -> Path:
    """A part of it, decoded, as a file."""
    path = folder / part.name
    catalog = Catalog(store)
    with catalog.open_part(backup, part) as stored, catalog.decoded(part, stored) as content, path.open("wb") as file:
        while data := content.read(1 << 20):
            file.write(data)
    return path


def tables_of(backup: Manifest, store: DirectoryStore, server: Server, folder: Path) -> list[set[str]]:
    """The tables whose rows each lane has, `schema name`."""
    found = []
    for part in (backup.leading, *backup.lanes):
        argv = [str(server.bin_dir / "pg_restore"), "--list", str(archive(backup, store, part, folder))]
        listed = subprocess.run(argv, capture_output=True, text=True, errors="replace", check=True).stdout
        found.append(set(re.findall(r"TABLE DATA (\S+ .+) \S+$", listed, re.MULTILINE)))
    return found


def compared(server: Server, one: str, other: str, *ignore: str) -> list[str]:
    with server.connect(one) as left, server.connect(other) as right:
        return difference(facts(left), facts(right), ignore=("database", *ignore))


def make_strange(server: Server, database: str, schemas: tuple[str, ...] = ("public", 'A "b".c*')) -> None:
    with server.connect(database) as connection:
        for schema in schemas:
            connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
            for name in STRANGE:
                table = sql.Identifier(schema, name)
                connection.execute(sql.SQL("CREATE TABLE {} (id serial PRIMARY KEY, t text)").format(table))
                connection.execute(
                    sql.SQL("INSERT INTO {} (t) SELECT {} || n FROM generate_series(1, 9) n").format(
                        table, sql.Literal(name)
                    )
                )


def test_tables_of_any_name_are_in_one_lane_and_come_back(
    any_server: Server, new_database: NewDatabase, store: DirectoryStore, tmp_path: Path
) -> None:
    name = new_database(any_server)
    make_strange(any_server, name)
    run(any_server, name, 'CREATE TABLE "stax" (id int); INSERT INTO stax VALUES (1); CREATE TABLE quexstion ()')
    backup = backed_up(any_server, name, store, encoding=ZSTD, dump=lanes(4))
    assert [part.name for part in backup.parts] == [lane_name(number) for number in range(4)]
    found = tables_of(backup, store, any_server, tmp_path)
    assert all(found)
    assert sum(len(each) for each in found) == len(set().union(*found)) == 2 * len(STRANGE) + 2
    restored(backup, store, make_restorer(any_server), f"{name}_again", jobs=2)
    assert compared(any_server, name, f"{name}_again") == []


def test_partitions_of_every_kind_are_spread_as_tables_are(
    any_server: Server, new_database: NewDatabase, store: DirectoryStore, tmp_path: Path
) -> None:
    name = new_database(any_server)
    fill(
        any_server,
        name,
        "CREATE TABLE sales (id bigint, at date NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)",
        "CREATE TABLE sales_1 PARTITION OF sales FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
        "CREATE TABLE sales_2 PARTITION OF sales FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')"
        " PARTITION BY LIST (id)",
        "CREATE TABLE sales_2_1 PARTITION OF sales_2 FOR VALUES IN (1, 2, 3)",
        "CREATE TABLE sales_2_2 PARTITION OF sales_2 DEFAULT",
        "INSERT INTO sales SELECT n, '2026-01-01'::date + n % 59 FROM generate_series(1, 3000) n",
        "CREATE TYPE colour AS ENUM ('red', 'green', 'blue')",
        "CREATE TABLE paints (c colour, n int) PARTITION BY HASH (c)",
        "CREATE TABLE paints_0 PARTITION OF paints FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
        "CREATE TABLE paints_1 PARTITION OF paints FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
        "INSERT INTO paints SELECT (enum_range(NULL::colour))[1 + n % 3], n FROM generate_series(1, 999) n",
        "CREATE TABLE parent (id int)",
        "CREATE TABLE child (more text) INHERITS (parent)",
        "INSERT INTO parent SELECT generate_series(1, 10)",
        "INSERT INTO child SELECT n, 'x' FROM generate_series(1, 20) n",
        "CREATE TABLE refers (id bigint, at date, FOREIGN KEY (id, at) REFERENCES sales)",
        "INSERT INTO refers SELECT id, at FROM sales",
        "CREATE MATERIALIZED VIEW totals AS SELECT count(*) FROM sales",
        "SELECT lo_from_bytea(4711, 'a large object')",
    )
    backup = backed_up(any_server, name, store, dump=lanes(5))
    assert len(backup.parts) == 5
    found = tables_of(backup, store, any_server, tmp_path)
    assert "public sales" not in set().union(*found)
    assert {"public sales_1", "public sales_2_1", "public sales_2_2", "public child"} <= set().union(*found)
    restored(backup, store, make_restorer(any_server), f"{name}_again", jobs=2)
    paints = "SELECT c::text, n FROM paints ORDER BY n"
    assert rows(any_server, f"{name}_again", paints) == rows(any_server, name, paints)
    # The hash of an enum is of its oid: in which partition a row is then, is another matter in every database.
    assert compared(any_server, name, f"{name}_again", 'rows "public"."paints_') == []


def test_what_is_left_out_does_not_come_back_by_a_lane(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore, tmp_path: Path
) -> None:
    name = new_database(pg18)
    for schema in ("public", "audit", "Audit", "kept.dot"):
        with pg18.connect(name) as connection:
            connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
            for table in ("orders", "log_1", "log_2", "sessions"):
                statement = sql.SQL("CREATE TABLE {} AS SELECT generate_series(1, 100) AS id")
                connection.execute(statement.format(sql.Identifier(schema, table)))
    options = lanes(
        4,
        exclude_schemas=("aud*", '"kept.dot"'),
        exclude_tables=("log_?", '"Audit".log_1'),
        exclude_table_data=("*.sessions",),
    )
    backup = backed_up(pg18, name, store, dump=options)
    assert backup.filtered
    assert len(backup.parts) > 1
    found = tables_of(backup, store, pg18, tmp_path)
    kept = {"public orders", "Audit orders", "Audit log_2"}
    assert set().union(*found) == kept
    assert sum(map(len, found)) == len(kept)
    restored(backup, store, make_restorer(pg18), f"{name}_again")
    assert rows(pg18, f"{name}_again", "SELECT count(*) FROM sessions") == [(0,)]
    assert rows(pg18, f"{name}_again", 'SELECT count(*) FROM "Audit".orders') == [(100,)]
    assert rows(pg18, f"{name}_again", "SELECT count(*) FROM pg_namespace WHERE nspname IN ('audit', 'kept.dot')") == [
        (0,)
    ]


@pytest.mark.parametrize("jobs", [2, 4])
def test_the_proof_of_a_dump_in_lanes_is_that_of_its_restore(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore, jobs: int
) -> None:
    name = new_database(pg18)
    make_strange(pg18, name)
    engine = proving_engine(pg18, lanes(jobs))
    backup = proven_backup(pg18, name, store, engine)
    assert len(backup.lanes) == jobs - 1
    assert backup.proof is not None
    assert backup.proof.unproven == 0
    found = held_against(backup, store, pg18, f"{name}_again")
    assert real(found) == []


def test_rows_that_are_written_meanwhile_are_in_no_lane(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    fill(pg18, name, *(f"CREATE TABLE t{n} AS SELECT 1 AS id" for n in range(4)))
    ended = threading.Event()

    def write() -> None:
        with pg18.connect(name) as connection:
            while not ended.is_set():
                with connection.transaction():
                    for number in range(4):
                        connection.execute(f"INSERT INTO t{number} VALUES (1)".encode())

    writer = threading.Thread(target=write)
    writer.start()
    try:
        backup = backed_up(pg18, name, store, dump=lanes(4))
    finally:
        ended.set()
        writer.join()
    assert len(backup.parts) == 4
    restored(backup, store, make_restorer(pg18), f"{name}_again")
    counts = {rows(pg18, f"{name}_again", f"SELECT count(*) FROM t{n}")[0] for n in range(4)}
    assert len(counts) == 1, "each transaction wrote to all of them"


def test_names_that_pg_dump_would_read_in_another_encoding_stay_in_lane_0(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore, tmp_path: Path
) -> None:
    name = new_database(pg18, options="TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    fill(
        pg18,
        name,
        'CREATE TABLE "größe" AS SELECT generate_series(1, 5000) AS id',
        "CREATE TABLE plain AS SELECT generate_series(1, 100) AS id",
        "CREATE TABLE other AS SELECT generate_series(1, 100) AS id",
    )
    backup = backed_up(pg18, name, store, dump=lanes(2))
    first, second = tables_of(backup, store, pg18, tmp_path)
    assert len(first) == 1
    assert second == {"public plain", "public other"}
    restored(backup, store, make_restorer(pg18), f"{name}_again")
    assert compared(pg18, name, f"{name}_again") == []


def test_one_lane_is_what_it_always_was(pg18: Server, new_database: NewDatabase, store: DirectoryStore) -> None:
    name = new_database(pg18)
    run(pg18, name, "CREATE TABLE t AS SELECT generate_series(1, 100) AS id")
    for options in (DumpOptions(globals="off", jobs=None, cores=4, large=1), lanes(1)):
        (part,) = backed_up(pg18, name, store, dump=options).parts
        assert part.name == "dump.pgc"


def test_where_a_table_is_locked_its_size_is_not_waited_for(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore, capsys: pytest.CaptureFixture[str]
) -> None:
    name = new_database(pg18)
    fill(pg18, name, *(f"CREATE TABLE t{n} AS SELECT 1 AS id" for n in range(4)))
    with pg18.connect(name, autocommit=False) as other:
        other.execute("LOCK TABLE t1 IN ACCESS EXCLUSIVE MODE")
        timer = threading.Timer(3, other.rollback)
        timer.start()
        (part,) = backed_up(pg18, name, store, dump=lanes(3)).parts
        timer.join()
    assert part.name == "dump.pgc"
    assert "one lane only" in capsys.readouterr().err


def test_lanes_are_no_more_than_there_are_sessions_for(
    pg18: Server,
    new_database: NewDatabase,
    new_role: NewRole,
    store: DirectoryStore,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name, role = new_database(pg18), new_role(pg18, options="CONNECTION LIMIT 5 IN ROLE pg_read_all_data")
    fill(pg18, name, *(f"CREATE TABLE t{n} AS SELECT 1 AS id" for n in range(6)))
    source = make_source(pg18, name, role=role)
    backup = back_up(
        source,
        make_engine(clients_of(pg18), lanes(6)),
        Copies(store),
        BackUpChoice(target="it", encoding=PLAIN),
        clock=now,
    )
    assert len(backup.parts) == 2  # five sessions: the snapshot's, two of a proof, two lanes
    assert "fewer lanes than wanted" in capsys.readouterr().err


def test_a_role_without_room_for_lanes_is_warned_of(pg18: Server, new_database: NewDatabase, new_role: NewRole) -> None:
    name, role = new_database(pg18), new_role(pg18, options="CONNECTION LIMIT 5 IN ROLE pg_read_all_data")
    source = make_source(pg18, name, role=role, jobs=4)
    (found,) = (each for each in source.checks() if each.name == "sessions")
    assert found.verdict == "warn"
    assert "only 4 more are possible, 6 are needed" in found.message
    assert "PGPROOF_DUMP_JOBS" in (found.hint or "")
    (found,) = (each for each in make_source(pg18, name, role=role).checks() if each.name == "sessions")
    assert found.verdict == "ok"


def test_where_sessions_cannot_be_counted_they_are_taken_as_they_come(
    system_server: Server, new_database: NewDatabase, new_role: NewRole, store: DirectoryStore
) -> None:
    name, role = new_database(system_server), new_role(system_server)
    fill(system_server, name, *(f"CREATE TABLE t{n} AS SELECT 1 AS id" for n in range(3)))
    run(system_server, name, "REVOKE SELECT ON pg_catalog.pg_stat_activity FROM PUBLIC")
    run(system_server, name, "GRANT SELECT ON t0, t1, t2 TO PUBLIC")
    source = make_source(system_server, name, role=role, jobs=3)
    (found,) = (each for each in source.checks() if each.name == "sessions")
    assert (found.verdict, "not told" in found.message) == ("ok", True)
    assert len(backed_up(system_server, name, store, role=role, dump=lanes(3)).parts) == 3


def test_a_table_comes_back_out_of_the_lane_that_has_it(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    fill(pg18, name, *(f"CREATE TABLE t{n} AS SELECT {n} AS id" for n in range(6)))
    backup = backed_up(pg18, name, store, dump=lanes(4))
    for number in range(6):
        into = f"{name}_{number}"
        report = restored(backup, store, make_restorer(pg18), into, tables=(f"t{number}",))
        assert report.tables == frozenset({f"public.t{number}"})
        for other in range(6):
            expected = [(other,)] if other == number else []
            assert rows(pg18, into, f"SELECT id FROM t{other}") == expected


def test_damage_in_any_lane_is_found(pg18: Server, new_database: NewDatabase, store: DirectoryStore) -> None:
    name = new_database(pg18)
    fill(pg18, name, *(f"CREATE TABLE t{n} AS SELECT {n} AS id" for n in range(3)))
    backup = backed_up(pg18, name, store, dump=lanes(3))
    assert verify(backup, store, make_restorer(pg18)).objects == 3
    for part in backup.parts:
        path = Path(store.url) / f"it/{backup.id}/{part.volumes[0].name}"
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(IntegrityFailed, match="was changed after it was written"):
            verify(backup, store, make_restorer(pg18))
        path.write_bytes(whole)


def test_each_part_says_how_long_its_stages_took(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    fill(pg18, name, *(f"CREATE TABLE t{n} AS SELECT generate_series(1, 100000) AS id" for n in range(3)))
    backup = backed_up(pg18, name, store, encoding=ZSTD, dump=lanes(2))
    for part in backup.parts:
        assert {"start", "server", "compress", "store"} <= part.seconds.keys()
        assert 0 < sum(part.seconds.values()) <= backup.seconds["dump"] + 0.1
    assert Manifest.from_json(backup.to_json(), where="it") == backup
