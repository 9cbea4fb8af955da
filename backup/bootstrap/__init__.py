"""The only place that turns settings into objects. Heavy adapters are imported where they are made."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from backup.logs import log
from backup.ports import Scratch, Store
from backup.settings import Settings, StoreSettings
from backup.stream.volumes import Encoding

if TYPE_CHECKING:
    from backup.domain.guard import Tolerance
    from backup.domain.rows import RowsChoice
    from backup.postgres.address import Address
    from backup.postgres.clients import Client
    from backup.postgres.dump import PgDumpEngine
    from backup.postgres.prover import ProofOptions
    from backup.postgres.restore_job import RestoreOptions
    from backup.postgres.restorer import PostgresRestorer
    from backup.postgres.rows.documents import RowsReturn
    from backup.postgres.rows.engine import RowsEngine
    from backup.postgres.rows.reading import RowsReading
    from backup.postgres.rows.sync import RowsSync
    from backup.postgres.source import PostgresSource
    from backup.stream.age import Keyring


def now() -> datetime:
    """The clock of every command."""
    return datetime.now(UTC)


def make_address(settings: Settings, *, override: str | None = None) -> Address:
    """The database's address, or another one that `override` gives. Raises ConfigurationError where there is none."""
    from backup.postgres.address import Address

    return Address.parse(settings.database.conninfo if override is None else override)


def named_target(settings: Settings) -> str | None:
    """The target that the settings name, or that the database's address does; the server is not asked."""
    from backup.domain.ids import target_of_database

    if settings.target:
        return settings.target
    if settings.database.url is None:
        return None
    database = make_address(settings).database or os.environ.get("PGDATABASE")
    return target_of_database(database) if database else None


def make_store(settings: StoreSettings, *, keep: timedelta | None = None) -> Store:
    """The store that these settings describe; nothing is asked of it yet.

    Args:
        settings: of it.
        keep: for how long what is stored is locked, where the settings want a lock.
    """
    if not settings.is_s3:
        from backup.stores.directory import DirectoryStore

        return DirectoryStore(settings.directory)
    from backup.stores.addresses import KeySource, S3Address
    from backup.stores.credentials import find_keys
    from backup.stores.s3 import S3Store
    from backup.stores.s3_versions import Lock

    address = S3Address(
        bucket=settings.bucket,
        prefix=settings.prefix,
        endpoint=settings.endpoint,
        region=settings.region,
        path_style=settings.path_style,
        ca_file=settings.ca_file,
    )
    source = KeySource(
        mode=settings.credentials,
        access_key=settings.access_key,
        secret_key=settings.secret_key,
        session_token=settings.session_token,
        sts_endpoint=settings.sts_endpoint,
        ca_file=settings.ca_file,
    )
    keys = find_keys(source, os.environ, region=settings.region)
    lock = Lock(mode=settings.lock, period=keep) if settings.lock != "off" and keep else None
    return S3Store(address, keys, part_size=settings.part_size, parallel=settings.parallel, lock=lock)


def make_source(settings: Settings) -> PostgresSource:
    """The database that is backed up."""
    from backup.postgres.source import PostgresSource
    from backup.settings.branches import available_cores

    by_rows = settings.dump.engine == "rows"
    chosen = by_rows and bool(settings.rows.tables or settings.rows.only)
    return PostgresSource(
        address=_told_direct(make_address(settings)),
        clients=None if by_rows else _clients(settings),
        connect_timeout=settings.database.connect_timeout,
        filtered=settings.dump.filtered or chosen,
        globals=settings.dump.globals != "off" and not by_rows,
        jobs=settings.dump.jobs if not by_rows else 1,
        cores=available_cores(),
    )


def make_engine(settings: Settings) -> PgDumpEngine | RowsEngine:
    """The engine that dumps it."""
    if settings.dump.engine == "rows":
        from backup.domain.row_choice import all_columns

        return _rows_engine(settings, all_columns(settings.rows.choice), filtered=True)
    from backup.postgres.dump import DumpOptions, PgDumpEngine
    from backup.settings.branches import available_cores

    dump = settings.dump
    options = DumpOptions(
        lock_wait_timeout=dump.lock_wait_timeout,
        globals=dump.globals,
        exclude_schemas=dump.exclude_schemas,
        exclude_tables=dump.exclude_tables,
        exclude_table_data=dump.exclude_table_data,
        jobs=dump.jobs,
        cores=available_cores(),
    )
    return PgDumpEngine(clients=_clients(settings), options=options, environ=os.environ, proof=_proof_options(settings))


def make_fallback(settings: Settings) -> RowsEngine | None:
    """The engine that saves what it can where the other one cannot; None where that is the rows engine already."""
    if settings.dump.engine == "rows":
        return None
    from backup.domain.rows import RowsChoice

    return _rows_engine(settings, RowsChoice(secrets=(), saving=True), filtered=settings.dump.filtered)


def _rows_engine(settings: Settings, choice: RowsChoice, *, filtered: bool) -> RowsEngine:
    from dataclasses import replace

    from backup.domain.patterns import excluded
    from backup.postgres.rows.engine import RowsEngine

    dump = settings.dump
    return RowsEngine(
        clients=_clients(settings),
        choice=replace(choice, without=excluded(dump.exclude_schemas, dump.exclude_tables)),
        filtered=filtered,
        environ=os.environ,
        connect_timeout=settings.database.connect_timeout,
        lock_wait_timeout=dump.lock_wait_timeout,
        without_rows=excluded((), dump.exclude_table_data),
        proof=_proof_options(settings),
    )


def _proof_options(settings: Settings) -> ProofOptions | None:
    from backup.domain.patterns import excluded
    from backup.postgres.prover import ProofOptions

    proof, dump = settings.proof, settings.dump
    if proof.mode == "off":
        return None
    return ProofOptions(
        mode=proof.mode,
        seconds=proof.timeout,
        excluded=excluded(dump.exclude_schemas, dump.exclude_tables),
        without_rows=excluded((), dump.exclude_table_data),
    )


def make_encoding(settings: Settings, *stores: StoreSettings) -> Encoding:
    """How streams are written to stores: all get the same objects."""
    return Encoding(
        compression=settings.dump.compression,
        level=settings.dump.zstd_level,
        threads=settings.dump.threads,
        volume_size=min(settings.volume_size(store) for store in stores),
        recipients=settings.encryption.to,
    )


def make_keys(settings: Settings) -> Keyring:
    """What encrypted backups are opened with. Raises ConfigurationError where it cannot be read as it is set."""
    from backup.stream.age import NO_KEYS, Keyring

    encryption = settings.encryption
    if encryption.identity is None:
        return NO_KEYS
    phrase = encryption.identity_passphrase
    return Keyring.parse(
        encryption.identity.get_secret_value(), passphrase=phrase.get_secret_value() if phrase else None
    )


def make_tolerance(settings: Settings) -> Tolerance | None:
    """How much smaller than those before it a backup may be; None where that does not matter."""
    from backup.domain.guard import Tolerance
    from backup.domain.patterns import excluded

    guard = settings.guard
    if guard.shrink == 100:  # noqa: PLR2004 -- percent
        return None
    return Tolerance(shrink=guard.shrink, ignore=excluded((), guard.ignore))


def make_restorer(settings: Settings, *, address: str | None = None) -> PostgresRestorer:
    """The way back, into the configured server or into the one at `address` (which may be empty: libpq's own)."""
    from backup.postgres.restorer import PostgresRestorer

    return PostgresRestorer(
        address=_told_direct(make_address(settings, override=address)),
        clients=_clients(settings),
        environ=os.environ,
        options=_restore_options(settings),
    )


def _restore_options(settings: Settings) -> RestoreOptions:
    from backup.postgres.restore_job import RestoreOptions

    restore = settings.restore
    return RestoreOptions(
        settings={
            "synchronous_commit": restore.synchronous_commit,
            "maintenance_work_mem": restore.maintenance_work_mem,
        },
        analyze=restore.analyze,
        maintenance_database=settings.database.maintenance_db,
        connect_timeout=settings.database.connect_timeout,
        lock_wait_timeout=settings.dump.lock_wait_timeout,
    )


def open_rows(settings: Settings, *, session: str | None = None) -> AbstractContextManager[RowsReading]:
    """The chosen rows of the database, checked, in a snapshot; `session` names its sessions on the server."""
    from backup.postgres.rows.reading import read_rows

    address = _told_direct(make_address(settings))
    return read_rows(
        address.with_keywords(application_name=session) if session else address,
        settings.rows.choice,
        clients=_clients(settings),
        environ=os.environ,
        connect_timeout=settings.database.connect_timeout,
        lock_wait_timeout=settings.dump.lock_wait_timeout,
    )


def make_sync(settings: Settings) -> RowsSync:
    """The way of the chosen rows into the second database. Raises ConfigurationError where there is none."""
    from backup.postgres.address import Address
    from backup.postgres.rows.sync import RowsSync

    return RowsSync(
        address=Address.parse(settings.sync.conninfo.get_secret_value()),
        connect_timeout=settings.database.connect_timeout,
        lock_wait_timeout=settings.dump.lock_wait_timeout,
        overlap=settings.sync.overlap,
    )


def make_rows_return(settings: Settings, *, address: str | None = None) -> RowsReturn:
    """The way of a document's rows into the configured database, or into the one at `address`."""
    from backup.postgres.rows.documents import RowsReturn

    return RowsReturn(
        address=_told_direct(make_address(settings, override=address)),
        connect_timeout=settings.database.connect_timeout,
        lock_wait_timeout=settings.dump.lock_wait_timeout,
    )


def make_scratch(settings: Settings, *, on: str | None = None) -> Scratch:
    """Where backups are tried: on throwaway servers, or on the server at the address `on`."""
    from functools import partial

    from backup.postgres.trial import server_at, throwaway_server

    if on is not None:
        restorer = make_restorer(settings, address=on)
        return lambda _backup, _share: server_at(restorer)
    return partial(
        throwaway_server,
        clients=_clients(settings),
        environ=os.environ,
        options=_restore_options(settings),
        folder=settings.drill.folder,
    )


def _told_direct(address: Address) -> Address:
    """`address` as it was given, so that the checks see it too; that its users go past a pooler is told."""
    direct = address.direct()
    if direct != address:
        log.info("Neon's pooler is passed by, pg_dump needs a session", host=direct.keywords["host"])
    return address


def _clients(settings: Settings) -> tuple[Client, ...]:
    from backup.postgres.clients import find_clients

    return find_clients([Path(folder) for folder in settings.postgres.bin_dirs], os.environ)
