"""The checks of a database before it is backed up: all that would make a dump fail, or less than whole.

Owns their order: what is found first is what a user has to mend first. Reads the catalogue alone; must not touch,
and so not lock, a user's table.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator

from backup.domain.checks import Check, failed
from backup.domain.manifest import Database
from backup.domain.sizes import show_size
from backup.errors import ConfigurationError, Interrupted, PgproofError
from backup.postgres.address import Address
from backup.postgres.clients import Client, choose
from backup.postgres.connection import Connection, connect
from backup.postgres.lanes import free_sessions, sessions_of
from backup.postgres.pooler import check_line, refuses_options
from backup.postgres.queries import read_query
from backup.postgres.readable import check_readable
from backup.postgres.session import trust_catalog_only
from backup.postgres.snapshot import one_row, pin, read_database

_OLDEST = 14
_ROOT_CHECKED = {"verify-ca": "certificate checked", "verify-full": "certificate and host name checked"}


def check_source(
    address: Address,
    *,
    clients: Iterable[Client] | None,
    connect_timeout: int,
    filtered: bool,
    with_roles: bool = True,
    jobs: Callable[[int], int] = lambda _bytes: 1,
) -> Iterator[Check]:
    """Every check of a database, as it is made. A `fail` of the address, the connection or the line ends them.

    Args:
        address: as the user gave it.
        clients: what is installed; None where rows alone are wanted, for which it takes no program.
        connect_timeout: seconds for one attempt.
        filtered: a setting leaves parts of the database out; then rights that are missing are only a warning.
        with_roles: the definitions of roles are wanted.
        jobs: how many lanes a database of so many bytes is dumped in.
    """
    direct = address.direct()
    told = _address(address, direct)
    yield told
    if told.verdict == "fail":
        return
    try:
        with connect(direct, connect_timeout=connect_timeout) as connection:
            line = check_line(
                pin(direct, connection, connect_timeout=connect_timeout), connection, connect_timeout=connect_timeout
            )
            yield _connected(connection)
            yield line
            if line.verdict != "fail":
                yield from _checks(connection, clients, jobs, filtered=filtered, with_roles=with_roles)
    except Interrupted:
        raise
    except PgproofError as error:
        yield _no_connection(error)


def _checks(
    connection: Connection,
    clients: Iterable[Client] | None,
    jobs: Callable[[int], int],
    *,
    filtered: bool,
    with_roles: bool,
) -> Iterator[Check]:
    """Those of a database that has its session to itself."""
    trust_catalog_only(connection)
    yield _encryption(connection)
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    database = read_database(connection)
    yield _versions(database, clients)
    yield Check(
        name="database", verdict="ok", message=f"{database.name}, {show_size(database.bytes)}, {database.encoding}"
    )
    yield _sessions(connection, jobs(database.bytes))
    yield from _surroundings(connection, database, with_roles=with_roles)
    yield from check_readable(connection, filtered=filtered, large_objects=clients is not None)


def _address(given: Address, direct: Address) -> Check:
    try:
        direct.refuse_hidden_secrets()
    except ConfigurationError as error:
        return failed("address", error)
    if given == direct:
        return Check(name="address", verdict="ok", message=str(given))
    return Check(
        name="address",
        verdict="ok",
        message=f"{given.keywords['host']} is Neon's pooler, but pg_dump needs a session:"
        f" {direct.keywords['host']} is used instead",
    )


def _connected(connection: Connection) -> Check:
    info = connection.info
    place = info.host if info.host.startswith(("/", "@")) else f"{info.host}:{info.port}"
    return Check(name="connection", verdict="ok", message=f"as {info.user} to {info.dbname} at {place}")


def _no_connection(error: PgproofError) -> Check:
    if refuses_options(error):
        error = ConfigurationError(
            "PgBouncer stands in between and refuses the session's options",
            detail=error.detail,
            hint="give the server's own host and port (as a rule 5432) instead of PgBouncer's",
        )
    return failed("connection", error)


def _encryption(connection: Connection) -> Check:
    info = connection.info
    parameters = info.get_parameters()
    if connection.pgconn.ssl_in_use:
        row = connection.execute(
            "SELECT version, cipher FROM pg_catalog.pg_stat_ssl WHERE pid = pg_catalog.pg_backend_pid() AND ssl"
        ).fetchone()
        said = f"{row[0]}, {row[1]}" if row else "TLS"
        checked = _ROOT_CHECKED.get(parameters.get("sslmode", ""), "certificate not checked (sslmode=verify-full does)")
        return Check(name="encryption", verdict="ok", message=f"{said}, {checked}")
    if info.host.startswith(("/", "@")):
        return Check(name="encryption", verdict="ok", message="none, by unix socket")
    if _is_loopback(info.hostaddr or info.host):
        return Check(name="encryption", verdict="ok", message="none, within this machine")
    row = connection.execute(
        "SELECT encrypted FROM pg_catalog.pg_stat_gssapi WHERE pid = pg_catalog.pg_backend_pid()"
    ).fetchone()
    if row and row[0]:
        return Check(name="encryption", verdict="ok", message="GSSAPI")
    return Check(
        name="encryption",
        verdict="warn",
        message=f"none: all of the database would pass the network to {info.host} in the clear",
        hint="put sslmode=require, or better sslmode=verify-full with sslrootcert, into the address",
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _versions(database: Database, clients: Iterable[Client] | None) -> Check:
    said = f"server {database.server_version}"
    if clients is None:
        said += ", whose rows are read without pg_dump"
    else:
        try:
            said += f", pg_dump {choose(clients, server=database.server_major).version}"
        except PgproofError as error:
            return failed("versions", error)
    if database.server_major < _OLDEST:
        return Check(
            name="versions",
            verdict="warn",
            message=f"{said}: a server older than {_OLDEST} is not tested with pgproof",
            hint="the community ended its support; upgrade it",
        )
    return Check(name="versions", verdict="ok", message=said)


def _sessions(connection: Connection, lanes: int) -> Check:
    """Whether the server has room for the sessions of a backup; that of its snapshot takes the place of ours."""
    free, needed = free_sessions(connection), sessions_of(lanes)
    if free is None:
        return Check(name="sessions", verdict="ok", message=f"{needed} are needed; how many are possible is not told")
    if free >= needed:
        return Check(name="sessions", verdict="ok", message=f"{free} more are possible, {needed} are needed")
    fewer = "there will be fewer lanes" if lanes > 1 else "the dump or its proof may fail"
    return Check(
        name="sessions",
        verdict="warn",
        message=f"only {free} more are possible, {needed} are needed: {fewer}",
        hint="raise max_connections, or the CONNECTION LIMIT of the role or the database"
        + (", or set a lower PGPROOF_DUMP_JOBS" if lanes > 1 else ""),
    )


def _surroundings(connection: Connection, database: Database, *, with_roles: bool) -> Iterator[Check]:
    extensions, unread, unlogged, subscriptions = one_row(connection, read_query("surroundings"))
    if database.standby:
        yield _standby(unlogged)
    yield Check(name="extensions", verdict="ok", message=", ".join(extensions or ["none"]))
    if subscriptions:
        yield Check(
            name="subscriptions",
            verdict="warn",
            message=f"{subscriptions} of logical replication will be left out, only a superuser can dump them",
        )
    yield _roles(unread) if with_roles else Check(name="roles", verdict="ok", message="not wanted, so not dumped")


def _standby(unlogged: int) -> Check:
    if not unlogged:
        return Check(name="standby", verdict="ok", message="a standby is backed up")
    return Check(
        name="standby",
        verdict="warn",
        message=f"a standby has no rows of unlogged tables; those of {unlogged} will be left out",
        hint="back up the primary where these rows matter",
    )


def _roles(unread: list[str] | None) -> Check:
    if not unread:
        return Check(name="roles", verdict="ok", message="definitions readable, without password hashes")
    return Check(
        name="roles",
        verdict="warn",
        message=f"no SELECT on {', '.join(unread)}: roles and tablespaces will not be in the backup",
        hint="keep the definitions of roles elsewhere, or back up as a role that can read them",
    )
