"""The branches of the settings that say what is worked on and how: database, stores, dump, proof, drill, restore.

Owns their leaves, as `model` owns those of the rest; must not read anything.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from backup.domain.lanes import MOST_JOBS
from backup.errors import ConfigurationError
from backup.settings.kinds import (
    Conninfo,
    Env,
    HttpUrl,
    Labels,
    Memory,
    Names,
    OrAuto,
    Recipients,
    Retention,
    Size,
    StoreUrl,
    StsUrl,
    Word,
)
from backup.stores.addresses import LEAST_PART_SIZE

MIB = 1 << 20
GIB = 1 << 30
LEAST_RATE = 64 << 10
"""Bytes a second; below it something was mistyped."""
LEAST_VOLUME_SIZE = MIB
"""So that half a terabyte, as stored, has few enough volumes for a manifest that can be read in one piece."""


_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")
"""Where a container finds its CPU limit: microseconds in each period of so many, or max (cgroup v2)."""


def available_cores(cpu_max: Path = _CPU_MAX) -> int:
    """Cores that this process may use, at most 4: more do not make a backup or a restore faster than the line."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = cpu_max.read_text(encoding="ascii").split()
        if quota != "max":
            cores = min(cores, max(int(quota) // int(period), 1))
    return min(cores, 4)


class Section(BaseModel):
    """A branch of the tree; its docstring is its description in the reference."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class DatabaseSettings(Section):
    """The database to back up."""

    url: Annotated[Conninfo | None, Env("PGPROOF_DATABASE_URL", ("DATABASE_URL",))] = Field(
        default=None,
        description="Address of the database: postgresql://user:password@host/dbname?sslmode=require, or libpq "
        "keywords. Without it the PG* variables of libpq say where it is.",
    )
    maintenance_db: Annotated[str, Env("PGPROOF_MAINTENANCE_DB")] = Field(
        default="postgres", description="Database to connect to while another is made or dropped."
    )
    connect_timeout: Annotated[int, Env("PGPROOF_CONNECT_TIMEOUT")] = Field(
        default=10, ge=1, le=600, description="Seconds to wait for the server to answer."
    )

    @property
    def conninfo(self) -> str:
        """The address for libpq; a secret.

        Raises:
            ConfigurationError: nothing says which database.
        """
        if self.url is None:
            raise ConfigurationError("no database is set", hint="set PGPROOF_DATABASE_URL, or database.url_file")
        return self.url.get_secret_value()


class StoreSettings(Section):
    """A place where backups live, under a name of your choice."""

    url: Annotated[StoreUrl, Env("PGPROOF_STORE")] = Field(
        description="A path, file:///path or s3://bucket/prefix; in the environment several, separated by commas."
    )
    endpoint: Annotated[HttpUrl | None, Env("PGPROOF_S3_ENDPOINT", ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"))] = (
        Field(default=None, description="Address of an S3 server that is not Amazon's.")
    )
    region: Annotated[str | None, Env("PGPROOF_S3_REGION", ("AWS_REGION", "AWS_DEFAULT_REGION"))] = Field(
        default=None, description="Region of the bucket; without it the server is asked."
    )
    access_key: Annotated[SecretStr | None, Env("PGPROOF_S3_ACCESS_KEY")] = Field(
        default=None, description="Access key of the bucket's user."
    )
    secret_key: Annotated[SecretStr | None, Env("PGPROOF_S3_SECRET_KEY")] = Field(
        default=None, description="Secret key of the bucket's user."
    )
    session_token: Annotated[SecretStr | None, Env("PGPROOF_S3_SESSION_TOKEN")] = Field(
        default=None, description="Token that goes with temporary keys."
    )
    ca_file: Annotated[Path | None, Env("PGPROOF_S3_CA_FILE", ("AWS_CA_BUNDLE",))] = Field(
        default=None, description="Certificates (PEM) to trust instead of the public ones."
    )
    path_style: Annotated[bool | None, Env("PGPROOF_S3_PATH_STYLE", (), "true with an endpoint, else false")] = Field(
        default=None, description="Name the bucket in the path of the address, not in its host."
    )
    credentials: Annotated[
        Literal["auto", "keys", "environment", "file", "web-identity", "instance", "anonymous"],
        Env("PGPROOF_S3_CREDENTIALS"),
    ] = Field(
        default="auto",
        description="Where keys come from: the two settings above, the AWS_* variables, the AWS credentials file, a "
        "web identity token, the instance's role, none at all; auto takes the first of them that is there.",
    )
    sts_endpoint: Annotated[StsUrl | None, Env("PGPROOF_S3_STS_ENDPOINT", ("AWS_ENDPOINT_URL_STS",))] = Field(
        default=None, description="Where a web identity token is changed for keys; without it Amazon's."
    )
    part_size: Annotated[Size, Env("PGPROOF_S3_PART_SIZE")] = Field(
        default=LEAST_PART_SIZE,
        ge=LEAST_PART_SIZE,
        le=5 * GIB,
        description="Size of one request of an upload; held in memory.",
    )
    parallel: Annotated[int, Env("PGPROOF_S3_PARALLEL")] = Field(
        default=3, ge=1, le=32, description="Requests of uploads at a time."
    )
    volume_size: Annotated[Size | None, Env(None, (), "dump.volume_size")] = Field(
        default=None, ge=LEAST_VOLUME_SIZE, description="Largest object in this store."
    )
    retention: Annotated[Retention | None, Env(None, (), "retention")] = Field(
        default=None, description="What is kept in this store, as rules by name; else what `retention` says."
    )
    lock: Annotated[Literal["off", "governance", "compliance"], Word, Env("PGPROOF_S3_LOCK")] = Field(
        default="off",
        description="Whether the bucket shall lock what is stored for as long as keep-within says. A lock of "
        "governance can be lifted by whoever has that right, one of compliance by nobody. Needs a bucket with "
        "object lock.",
    )

    @property
    def is_s3(self) -> bool:
        """Whether it is a bucket; else it is a folder."""
        return self.url.startswith("s3://")

    @property
    def directory(self) -> Path:
        """The folder, where it is one."""
        return Path(unquote(self.url.removeprefix("file://")) if self.url.startswith("file://") else self.url)

    @property
    def bucket(self) -> str:
        """The bucket's name, where it is one."""
        return self.url.removeprefix("s3://").partition("/")[0]

    @property
    def prefix(self) -> str:
        """What the keys in the bucket begin with, without a slash at either end; may be empty."""
        return self.url.removeprefix("s3://").partition("/")[2].strip("/")

    @property
    def place(self) -> tuple[object, ...]:
        """Where it is, so that two that are the same are equal."""
        return (self.endpoint, self.bucket, self.prefix) if self.is_s3 else (self.directory.resolve(),)

    @model_validator(mode="after")
    def _fits(self) -> StoreSettings:
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("has only one of access_key and secret_key")
        if self.credentials == "keys" and self.access_key is None:
            raise ValueError("has credentials: keys, but no access_key and secret_key")
        if self.lock != "off" and not self.is_s3:
            raise ValueError("has a lock, which only a bucket can keep")
        return self


class GuardSettings(Section):
    """When a new backup is suspect: stored, but not counted as complete until somebody accepts it."""

    shrink: Annotated[int, Env("PGPROOF_GUARD_SHRINK")] = Field(
        default=50,
        ge=1,
        le=100,
        description="Percent by which its size, or the rows of a large table, must have shrunk against the median of "
        "the last five; 100 for never.",
    )
    ignore: Annotated[Names, Env("PGPROOF_GUARD_IGNORE")] = Field(
        default=(), description="Tables whose rows come and go, such as queues, as patterns of pg_dump."
    )


class DumpSettings(Section):
    """How a backup is made."""

    engine: Annotated[Literal["pgdump", "rows"], Env("PGPROOF_ENGINE")] = Field(
        default="pgdump",
        description="How data leaves PostgreSQL: as a dump of pg_dump, or as rows of the tables that `rows` chooses.",
    )
    compression: Annotated[Literal["zstd", "none"], Env("PGPROOF_COMPRESSION")] = Field(
        default="zstd", description="How what is stored is compressed."
    )
    zstd_level: Annotated[int, Env("PGPROOF_ZSTD_LEVEL")] = Field(
        default=1, ge=1, le=22, description="Level of zstd: higher is smaller and slower."
    )
    zstd_threads: Annotated[int, Env("PGPROOF_ZSTD_THREADS")] = Field(
        default=0, ge=0, le=64, description="Threads of zstd; 0 for one a core, at most 4."
    )
    volume_size: Annotated[Size, Env("PGPROOF_VOLUME_SIZE")] = Field(
        default=4 * GIB,
        ge=LEAST_VOLUME_SIZE,
        description="Largest object that is stored; a longer stream becomes several.",
    )
    jobs: Annotated[int | None, OrAuto, Env("PGPROOF_DUMP_JOBS", (), "auto")] = Field(
        default=None,
        ge=1,
        le=MOST_JOBS,
        description="Lanes of a dump: connections that read it at the same time, large tables spread over them; auto "
        "for one, or two where the database has 256 MiB or more and there are two cores.",
    )
    rate: Annotated[Size | None, Env("PGPROOF_RATE")] = Field(
        default=None,
        ge=LEAST_RATE,
        description="Bytes a second that a backup reads of the database at most, all lanes together, such as 20MiB; "
        "the queries of the proof are not held back.",
    )
    lock_wait_timeout: Annotated[int, Env("PGPROOF_LOCK_WAIT_TIMEOUT")] = Field(
        default=60, ge=1, le=86_400, description="Seconds that pg_dump waits for a table that somebody else locks."
    )
    globals: Annotated[Literal["roles", "passwords", "off"], Word, Env("PGPROOF_GLOBALS")] = Field(
        default="roles",
        description="Whether roles and tablespaces are stored too, and with them the hashes of passwords.",
    )
    exclude_schemas: Annotated[Names, Env("PGPROOF_EXCLUDE_SCHEMAS")] = Field(
        default=(), description="Schemas to leave out, as patterns of pg_dump."
    )
    exclude_tables: Annotated[Names, Env("PGPROOF_EXCLUDE_TABLES")] = Field(
        default=(), description="Tables to leave out, as patterns of pg_dump."
    )
    exclude_table_data: Annotated[Names, Env("PGPROOF_EXCLUDE_TABLE_DATA")] = Field(
        default=(), description="Tables whose rows are left out, as patterns of pg_dump."
    )
    labels: Annotated[Labels, Env("PGPROOF_LABELS")] = Field(
        default_factory=dict, description="Names and values to keep with the backup, such as app=1.4.2; not secret."
    )

    @property
    def filtered(self) -> bool:
        """Whether parts of the database are left out."""
        return bool(self.exclude_schemas or self.exclude_tables or self.exclude_table_data)

    @property
    def threads(self) -> int:
        """Threads of zstd, worked out."""
        return self.zstd_threads or available_cores()


class EncryptionSettings(Section):
    """Encryption by age: whoever has only the public keys can make backups and cannot read them."""

    to: Annotated[Recipients, Env("PGPROOF_ENCRYPT_TO")] = Field(
        default=(),
        description="Public keys of age (age1…) that new backups are encrypted to; any one of their identities opens "
        "them. pgproof key new makes a pair.",
    )
    identity: Annotated[SecretStr | None, Env("PGPROOF_IDENTITY")] = Field(
        default=None,
        description="Identities (AGE-SECRET-KEY-1…, one a line) that encrypted backups are opened with; a backup does "
        "not need any.",
    )
    identity_passphrase: Annotated[SecretStr | None, Env("PGPROOF_IDENTITY_PASSPHRASE")] = Field(
        default=None, description="Passphrase that opens the identity, where it is kept under one."
    )


class ProofSettings(Section):
    """What is kept of the database beside its dump, for a restore to be compared with."""

    mode: Annotated[Literal["full", "rows", "off"], Word, Env("PGPROOF_PROOF")] = Field(
        default="full",
        description="Rows and a fingerprint of all values of each table, its rows alone, or nothing.",
    )
    timeout: Annotated[int, Env("PGPROOF_PROOF_TIMEOUT")] = Field(
        default=1800, ge=1, le=86_400, description="Seconds after which what is not known of a table stays unproven."
    )


class DrillSettings(Section):
    """How a backup is tried out: restored into a throwaway server and compared with its proof."""

    folder: Annotated[Path | None, Env("PGPROOF_DRILL_FOLDER", (), "the folder for temporary files")] = Field(
        default=None, description="Where the throwaway server lives; needs room for the whole database."
    )
    sample: Annotated[int, Env("PGPROOF_DRILL_SAMPLE")] = Field(
        default=100, ge=1, le=100, description="Percent of the tables whose rows are restored, chosen by chance."
    )
    checks: Annotated[dict[str, str], Env(None)] = Field(
        default_factory=dict,
        description="Queries of your own, each by a name, that must give nothing but true in the restored database.",
    )
    check_files: Annotated[Names, Env("PGPROOF_DRILL_CHECK_FILES")] = Field(
        default=(), description="Files with such queries."
    )
    check_timeout: Annotated[int, Env("PGPROOF_DRILL_CHECK_TIMEOUT")] = Field(
        default=60, ge=1, le=86_400, description="Seconds for each of them."
    )


class RestoreSettings(Section):
    """How a backup is restored."""

    jobs: Annotated[int, Env("PGPROOF_RESTORE_JOBS", (), "number of cores, at most 4")] = Field(
        default_factory=available_cores,
        ge=1,
        le=128,
        description="Connections that load the lanes of a backup, and build indexes and constraints.",
    )
    synchronous_commit: Annotated[Literal["off", "on"], Word, Env("PGPROOF_RESTORE_SYNCHRONOUS_COMMIT")] = Field(
        default="off", description="Whether each commit of the restore waits for the server's disk."
    )
    maintenance_work_mem: Annotated[Memory, Env("PGPROOF_RESTORE_MAINTENANCE_WORK_MEM")] = Field(
        default="256MB", description="Memory with which the server builds one index."
    )
    analyze: Annotated[bool, Env("PGPROOF_RESTORE_ANALYZE")] = Field(
        default=True, description="Gather statistics at the end, so that the first queries are planned well."
    )
    proof: Annotated[bool, Env("PGPROOF_RESTORE_PROOF")] = Field(
        default=True, description="Compare what was restored with the backup's proof."
    )
