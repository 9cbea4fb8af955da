"""`pgproof backup`: back up the database now."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from backup.bootstrap import make_encoding, make_engine, make_source, make_store, now
from backup.cli.announcing import announced
from backup.cli.options import Invocation, command, option, setting_option
from backup.cli.progress import progress
from backup.cli.targets import target_to_back_up
from backup.domain.manifest import Manifest, Purpose
from backup.domain.sizes import show_seconds, show_size
from backup.workflow.back_up import BackUpChoice, back_up, summary

_NO_LABELS: Mapping[str, str] = MappingProxyType({})


@command("backup")
@setting_option("dump.engine", "--engine")
@option(
    "--no-fallback",
    "no_fallback",
    is_flag=True,
    envvar="PGPROOF_NO_FALLBACK",
    help="Fail where pg_dump cannot run; so far there is no fallback, and it always does.",
)
@setting_option("dump.compression", "--compression")
@setting_option("dump.zstd_level", "--zstd-level")
@setting_option("dump.zstd_threads", "--zstd-threads")
@setting_option("dump.globals", "--globals")
@setting_option("dump.lock_wait_timeout", "--lock-wait-timeout")
@setting_option("dump.exclude_schemas", "--exclude-schema")
@setting_option("dump.exclude_tables", "--exclude-table")
@setting_option("dump.exclude_table_data", "--exclude-table-data")
@setting_option("proof.mode", "--proof")
@setting_option("proof.timeout", "--proof-timeout")
@setting_option("dump.labels", "--label")
def backup(invocation: Invocation, *, no_fallback: bool) -> None:  # noqa: ARG001 -- accepted from the first version on
    """Back up the database now.

    Exit status 0 means that all of it is in the store, and that the store was asked again whether it has it.
    """
    with announced(invocation, "backup") as announcement:
        made = run_backup(invocation)
        announcement.target = made.target
        announcement.text = (
            f"{made.id} is in {invocation.store.url}: {show_size(made.stored_bytes)} stored"
            f" ({show_size(made.raw_bytes)} dumped) in {show_seconds(made.duration)}"
        )
        announcement.facts["backup"] = summary(made)
    invocation.emit(made, told(made))


def run_backup(
    invocation: Invocation, *, purpose: Purpose = "backup", labels: Mapping[str, str] = _NO_LABELS
) -> Manifest:
    """Make a backup as the settings say, with more labels; a safety backup leaves nothing out."""
    settings = invocation.settings if purpose == "backup" else invocation.settings.without_filters()
    store = make_store(invocation.store)
    source = make_source(settings)
    choice = BackUpChoice(
        target=target_to_back_up(invocation),
        encoding=make_encoding(settings, invocation.store),
        purpose=purpose,
        labels={**settings.dump.labels, **labels},
    )
    with progress("backup") as tell:
        return back_up(source, make_engine(settings), store, choice, clock=now, progress=tell)


def told(backup: Manifest) -> str:
    """A backup in one line."""
    return (
        f"{backup.id}  {backup.target}  {backup.status}  {show_size(backup.stored_bytes)} stored"
        f" ({show_size(backup.raw_bytes)} dumped)  {show_seconds(backup.duration)}"
    )
