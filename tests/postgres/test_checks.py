"""The checks before a backup, each made to fail for real; what a hint says to paste is pasted."""

from __future__ import annotations

import re
import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from backup.domain.checks import Check
from backup.errors import AccessDenied, ClientMissing, ConfigurationError, DatabaseMissing, DatabaseUnreachable
from backup.postgres.address import Address
from backup.postgres.checks import check_source
from backup.postgres.clients import Client, choose, find_clients
from backup.postgres.scratch import EMBEDDED, packaged_bin_dir
from tests.fixtures.postgres import NewDatabase, NewRole, Role, Server

ODD = "O\"dd\n%s\\ ünder.\u200bit's"
CLIENTS = find_clients([packaged_bin_dir(EMBEDDED)], {})


def check(address: str, *, filtered: bool = False, clients: tuple[Client, ...] = CLIENTS) -> dict[str, Check]:
    found = list(check_source(Address.parse(address), clients=clients, connect_timeout=5, filtered=filtered))
    assert len({each.name for each in found}) == len(found)
    assert all("\n" not in each.message for each in found if each.name not in {"address", "connection"})
    return {each.name: each for each in found}


def check_as(server: Server, db: str, role: Role, *, filtered: bool = False) -> dict[str, Check]:
    return check(server.conninfo(db, user=role.name, password=role.password), filtered=filtered)


def fails(found: dict[str, Check]) -> set[str]:
    return {name for name, each in found.items() if each.verdict == "fail"}


def can_dump(server: Server, db: str, role: Role) -> bool:
    program = choose(CLIENTS, server=server.major).program("pg_dump")
    argv = [program, "--format=custom", server.conninfo(db, user=role.name, password=role.password)]
    dump = subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    assert dump.returncode == 0 or re.search(b"permission denied|row-level security|lack SELECT", dump.stderr)
    return dump.returncode == 0


def execute(server: Server, db: str, *statements: str) -> None:
    with server.connect(db) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def paste(server: Server, db: str, found: Check) -> None:
    assert found.hint
    execute(server, db, found.hint)


def mend(server: Server, db: str, role: Role, *names: str) -> None:
    """The checks `names`, and no others, fail with what pg_dump refuses too; their hints help both."""
    found = check_as(server, db, role)
    assert fails(found) == set(names)
    assert all(found[name].error is AccessDenied for name in names)
    assert not can_dump(server, db, role)
    for name in names:
        paste(server, db, found[name])
    assert fails(check_as(server, db, role)) == set()
    assert can_dump(server, db, role)


@contextmanager
def odd_role(server: Server) -> Iterator[Role]:
    role = Role(name=f"{ODD}{secrets.token_hex(4)}", password="it's odd")
    name = sql.Identifier(role.name)
    with server.connect() as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, sql.Literal(role.password)))
        try:
            yield role
        finally:
            connection.execute(sql.SQL("DROP ROLE {}").format(name))


def test_a_secret_that_pg_dump_cannot_be_told_fails_before_anything_is_asked() -> None:
    found = check("host=127.0.0.1 port=1 sslpassword=hidden")
    assert list(found) == ["address"]
    assert (found["address"].verdict, found["address"].error) == ("fail", ConfigurationError)
    assert "hidden" not in found["address"].message


def test_roles_that_are_not_wanted_need_not_be_readable(system_server: Server, new_role: NewRole) -> None:
    role = new_role(system_server)
    address = Address.parse(system_server.conninfo("postgres", user=role.name, password=role.password))
    verdicts = {}
    with system_server.connect() as connection:
        connection.execute("REVOKE SELECT ON pg_auth_members FROM PUBLIC")
        try:
            for wanted in (True, False):
                found = check_source(address, clients=CLIENTS, connect_timeout=5, filtered=False, with_roles=wanted)
                verdicts[wanted] = {each.name: each.verdict for each in found}["roles"]
        finally:
            connection.execute("GRANT SELECT ON pg_auth_members TO PUBLIC")
    assert verdicts == {True: "warn", False: "ok"}


def test_a_superuser_may_read_everything(any_server: Server, new_database: NewDatabase) -> None:
    db = new_database(any_server)
    execute(any_server, db, "CREATE TABLE t (id serial)", "SELECT lo_from_bytea(0, 'x')")
    found = check(any_server.url(db))
    assert {each.verdict for each in found.values()} == {"ok"}
    assert found["tables"].message == "all 1 readable"
    assert found["versions"].message.startswith(f"server {any_server.major}.")
    assert db in found["database"].message


def test_an_ordinary_role_with_nothing_to_read_may_back_up(
    any_server: Server, new_database: NewDatabase, new_role: NewRole
) -> None:
    db, role = new_database(any_server), new_role(any_server)
    execute(any_server, db, "CREATE SCHEMA s CREATE VIEW v AS SELECT 1", "CREATE MATERIALIZED VIEW s.m AS SELECT 1")
    assert {each.verdict for each in check_as(any_server, db, role).values()} == {"ok"}
    assert can_dump(any_server, db, role)


def test_missing_rights_are_named_and_the_hints_mend_them(
    any_server: Server, new_database: NewDatabase, new_role: NewRole
) -> None:
    db, role = new_database(any_server), new_role(any_server)
    execute(
        any_server,
        db,
        "CREATE SCHEMA closed",
        "CREATE TABLE closed.orders (id int GENERATED ALWAYS AS IDENTITY, n serial)",
        'CREATE TABLE "Order" (day date) PARTITION BY RANGE (day)',
        'CREATE TABLE part PARTITION OF "Order" DEFAULT',
        "CREATE SEQUENCE unowned",
        "SELECT lo_from_bytea(4711, 'x')",
    )
    found = check_as(any_server, db, role)
    assert found["schemas"].message == "no USAGE on closed"
    assert found["tables"].message == 'no SELECT on closed.orders, public."Order", public.part'
    assert found["sequences"].message == "no SELECT on closed.orders_id_seq, closed.orders_n_seq, public.unowned"
    assert found["large objects"].message == "no SELECT on 4711"
    mend(any_server, db, role, "schemas", "tables", "sequences", "large objects")


def test_names_may_hold_quotes_newlines_and_what_steers_a_terminal(
    any_server: Server, new_database: NewDatabase
) -> None:
    db = new_database(any_server)
    quoted = sql.Identifier(ODD)
    with any_server.connect(db) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {0} CREATE TABLE {0} (id serial)").format(quoted))
        connection.execute("SELECT lo_from_bytea(0, 'x') FROM generate_series(1, 21)")
    with odd_role(any_server) as role:
        for each in check_as(any_server, db, role).values():
            assert all(line.isprintable() for line in (each.hint or "").split("\n"))
        mend(any_server, db, role, "schemas", "tables", "sequences", "large objects")
        with any_server.connect(db) as connection:
            connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(sql.Identifier(role.name)))


def test_many_objects_are_counted_and_granted_by_schema(
    any_server: Server, new_database: NewDatabase, new_role: NewRole
) -> None:
    db, role = new_database(any_server), new_role(any_server)
    make = (
        "DO $$ BEGIN FOR i IN 1..33 LOOP EXECUTE format('CREATE TABLE t%s (id serial)', i); "
        "PERFORM lo_create(0); END LOOP; END $$"
    )
    execute(any_server, db, make)
    found = check_as(any_server, db, role)
    for name in ("tables", "sequences", "large objects"):
        assert found[name].message.endswith("and 13 more")
        assert found[name].message.count(",") == 19
        assert len((found[name].hint or "").splitlines()) <= 3
    mend(any_server, db, role, "tables", "sequences", "large objects")


def test_pg_read_all_data_helps_as_far_as_the_hints_say(
    any_server: Server, new_database: NewDatabase, new_role: NewRole
) -> None:
    db, role = new_database(any_server), new_role(any_server)
    execute(
        any_server,
        db,
        "CREATE SCHEMA s CREATE TABLE t (id serial)",
        "ALTER TABLE s.t ENABLE ROW LEVEL SECURITY",
        "SELECT lo_from_bytea(0, 'x')",
    )
    hint = check_as(any_server, db, role)["tables"].hint or ""
    remark = hint.splitlines()[-1]
    execute(any_server, db, remark.partition(": ")[2])
    mend(any_server, db, role, "large objects", "row security")


def test_rights_count_that_come_by_membership_ownership_or_to_all(
    any_server: Server, new_database: NewDatabase, new_role: NewRole
) -> None:
    db, role, group = new_database(any_server), new_role(any_server), new_role(any_server)
    execute(
        any_server,
        db,
        f"GRANT {group.name} TO {role.name}",
        "SELECT lo_create(1), lo_create(2), lo_create(3)",
        f"GRANT SELECT ON LARGE OBJECT 1 TO {group.name}",
        "GRANT SELECT ON LARGE OBJECT 2 TO PUBLIC",
        f"ALTER LARGE OBJECT 3 OWNER TO {role.name}",
        "CREATE TABLE t (id serial)",
        f"GRANT SELECT ON t, t_id_seq TO {group.name}",
    )
    assert fails(check_as(any_server, db, role)) == set()
    assert can_dump(any_server, db, role)
    execute(any_server, db, f"REVOKE SELECT ON LARGE OBJECT 3 FROM {role.name}")
    mend(any_server, db, role, "large objects")


def test_row_level_security_is_found_where_it_would_hide_rows(
    any_server: Server, new_database: NewDatabase, new_role: NewRole
) -> None:
    db, reader, owner = new_database(any_server), new_role(any_server), new_role(any_server)
    execute(
        any_server,
        db,
        "CREATE TABLE t (id int)",
        f"ALTER TABLE t OWNER TO {owner.name}",
        f"GRANT SELECT ON t TO {reader.name}",
        "CREATE POLICY p ON t USING (id > 0)",
    )
    assert fails(check_as(any_server, db, reader)) == set()  # a policy without row level security hides nothing
    execute(any_server, db, "ALTER TABLE t ENABLE ROW LEVEL SECURITY")
    assert fails(check_as(any_server, db, owner)) == set()
    assert "public.t" in check_as(any_server, db, reader)["row security"].message
    mend(any_server, db, reader, "row security")
    execute(any_server, db, "ALTER TABLE t FORCE ROW LEVEL SECURITY")
    mend(any_server, db, owner, "row security")


def test_what_a_filter_may_leave_out_is_only_a_warning(
    pg18: Server, new_database: NewDatabase, new_role: NewRole
) -> None:
    db, role = new_database(pg18), new_role(pg18)
    execute(pg18, db, "CREATE SCHEMA s CREATE TABLE t (id serial)", "ALTER TABLE s.t ENABLE ROW LEVEL SECURITY")
    execute(pg18, db, "SELECT lo_create(0)")
    found = check_as(pg18, db, role, filtered=True)
    assert {found[name].verdict for name in ("schemas", "tables", "sequences", "row security")} == {"warn"}
    assert fails(found) == {"large objects"}


def test_members_of_extensions_count_only_as_configuration_tables(
    system_server: Server, new_database: NewDatabase, new_role: NewRole
) -> None:
    db, role = new_database(system_server), new_role(system_server)
    execute(
        system_server,
        db,
        "CREATE EXTENSION hstore",
        "CREATE TABLE member (id int)",
        "ALTER EXTENSION hstore ADD TABLE member",
    )
    found = check_as(system_server, db, role)
    assert fails(found) == set()
    assert found["extensions"].message.startswith("hstore 1.")
    assert can_dump(system_server, db, role)
    execute(system_server, db, "UPDATE pg_extension SET extconfig = ARRAY['member'::regclass] WHERE extname = 'hstore'")
    execute(system_server, db, "UPDATE pg_extension SET extcondition = ARRAY[''] WHERE extname = 'hstore'")
    mend(system_server, db, role, "tables")


def test_no_table_is_touched(any_server: Server, new_database: NewDatabase, new_role: NewRole) -> None:
    db, role = new_database(any_server), new_role(any_server)
    execute(any_server, db, "CREATE TABLE t (id serial)", f"ALTER ROLE {role.name} SET lock_timeout = '1s'")
    with any_server.connect(db, autocommit=False) as locking:
        locking.execute("ALTER TABLE t ADD COLUMN n int, ENABLE ROW LEVEL SECURITY")
        locking.execute("ALTER SEQUENCE t_id_seq CACHE 2")
        assert fails(check_as(any_server, db, role)) == {"tables", "sequences"}


def test_roles_that_cannot_be_read_are_a_warning(
    any_server: Server, new_database: NewDatabase, new_role: NewRole
) -> None:
    db, role = new_database(any_server), new_role(any_server)
    execute(any_server, db, "REVOKE SELECT ON pg_db_role_setting FROM PUBLIC")
    found = check_as(any_server, db, role)["roles"]
    assert found.verdict == "warn"
    assert "pg_db_role_setting" in found.message


def test_subscriptions_that_pg_dump_leaves_out_are_a_warning(
    pg18: Server, new_database: NewDatabase, new_role: NewRole
) -> None:
    db, role = new_database(pg18), new_role(pg18)
    execute(
        pg18,
        db,
        "CREATE SUBSCRIPTION sub CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false, slot_name = NONE)",
    )
    assert "subscriptions" not in check(pg18.url(db))
    found = check_as(pg18, db, role)
    execute(pg18, db, "DROP SUBSCRIPTION sub")
    assert found["subscriptions"].verdict == "warn"
    assert fails(found) == set()


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_any_encoding_is_read(encoding: str, pg18: Server, new_database: NewDatabase) -> None:
    options = {
        "SQL_ASCII": "TEMPLATE template0 LOCALE 'C' ENCODING 'SQL_ASCII'",
        "LATIN1": "TEMPLATE template0 LOCALE 'C' ENCODING 'LATIN1'",
    }
    db = new_database(pg18, options=options[encoding])
    found = check(pg18.url(db))
    assert {each.verdict for each in found.values()} == {"ok"}
    assert found["database"].message.endswith(encoding)


def test_names_in_no_known_encoding_are_told_as_far_as_they_can_be_read(
    pg18: Server, new_database: NewDatabase, new_role: NewRole
) -> None:
    db = new_database(pg18, options="TEMPLATE template0 LOCALE 'C' ENCODING 'SQL_ASCII'")
    role = new_role(pg18)
    with pg18.connect(db) as connection:
        connection.execute(b'CREATE TABLE "caf\xe9" (id int)')
    assert check_as(pg18, db, role)["tables"].message == r'no SELECT on public."caf\xe9"'
    assert check(pg18.url(db))["tables"].verdict == "ok"


def test_a_client_older_than_the_server_is_refused_and_the_rest_still_checked(
    pg18: Server, new_database: NewDatabase, new_role: NewRole
) -> None:
    db, role = new_database(pg18), new_role(pg18)
    execute(pg18, db, "CREATE TABLE t (id int)")
    old = Client(15, 3, Path("/usr/lib/postgresql/15/bin"))
    found = check(pg18.conninfo(db, user=role.name, password=role.password), clients=(old,))
    assert fails(found) == {"versions", "tables"}
    assert found["versions"].error is ClientMissing
    assert "18" in found["versions"].message
    assert "15.3" in found["versions"].message


def test_no_client_at_all_is_refused(pg18: Server) -> None:
    found = check(pg18.url(), clients=())
    assert fails(found) == {"versions"}
    assert "no PostgreSQL client" in found["versions"].message


def test_a_wrong_password_ends_with_14(any_server: Server) -> None:
    found = check(any_server.conninfo(user="postgres", password="wrong"))
    assert (list(found), found["connection"].error) == (["address", "connection"], AccessDenied)
    assert found["connection"].to_error().status == 14


def test_a_missing_database_ends_with_4(any_server: Server) -> None:
    found = check(any_server.url("nowhere"))
    assert (list(found), found["connection"].error) == (["address", "connection"], DatabaseMissing)
    assert found["connection"].to_error().status == 4


def test_a_server_that_is_down_ends_with_4() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        found = check(make_conninfo("", host="127.0.0.1", port=str(taken.getsockname()[1]), dbname="x"))
    assert (list(found), found["connection"].error) == (["address", "connection"], DatabaseUnreachable)
    assert found["connection"].to_error().status == 4


def test_a_database_that_one_may_not_enter_ends_with_14(
    any_server: Server, new_database: NewDatabase, new_role: NewRole
) -> None:
    db, role = new_database(any_server), new_role(any_server)
    execute(any_server, db, f"REVOKE CONNECT ON DATABASE {db} FROM PUBLIC")
    assert check_as(any_server, db, role)["connection"].to_error().status == 14


def test_neons_pooler_is_left_aside_and_said(pg18: Server) -> None:
    pooled = f"{pg18.conninfo()} host=ep-cool-sun-123-pooler.eu-central-1.aws.neon.tech hostaddr=127.0.0.1"
    found = check(pooled)
    assert "ep-cool-sun-123.eu-central-1.aws.neon.tech is used instead" in found["address"].message
    assert found["connection"].message.endswith(f"ep-cool-sun-123.eu-central-1.aws.neon.tech:{pg18.port}")
    assert fails(found) == set()


def test_the_encryption_of_the_line_is_told(system_tls: Server, tmp_path: Path) -> None:
    assert system_tls.certificate
    root = tmp_path / "root.crt"
    root.write_bytes(system_tls.certificate.authority)
    required = check(f"{system_tls.conninfo()} sslmode=require sslrootcert={tmp_path}/none")["encryption"]
    full = check(f"{system_tls.conninfo()} sslmode=verify-full sslrootcert={root}")["encryption"]
    assert required.message.startswith("TLSv1.3, ")
    assert "not checked" in required.message
    assert full.message.endswith("certificate and host name checked")


def test_a_line_in_the_clear_is_a_warning_where_it_leaves_the_machine(pg18: Server) -> None:
    found = check(f"{pg18.conninfo()} hostaddr=0.0.0.0")["encryption"]  # Linux takes it to ourselves
    assert found.verdict == "warn"
    assert "sslmode=require" in (found.hint or "")
    assert check(pg18.url())["encryption"].verdict == "ok"
    assert check(pg18.socket_url())["encryption"].message == "none, by unix socket"
