"""`pgproof doctor`: find what would keep a backup from being made, and how to mend it.

Owns how a check looks. What is checked is the business of the source and of `workflow.doctor`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import click

from backup.bootstrap import make_source, make_store, now
from backup.cli.options import Invocation, command
from backup.cli.output import cell, painted, print_json, write
from backup.domain.checks import Check, failed
from backup.errors import AccessDenied, ConfigurationError, StoreUnreachable
from backup.logs import redact
from backup.settings import StoreSettings
from backup.workflow.doctor import MULTIPART_BYTES, doctor

_MARKS = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "red")}
_NAME_WIDTH = len("store multipart")
_INDENT = " " * (2 + _NAME_WIDTH + 2)


@command("doctor")
def doctor_command(invocation: Invocation) -> None:
    """Check the database and the store as far as they are set, and say how to mend what is wrong.

    The checks of the database are those that `pgproof backup` makes before it starts. Nothing is changed; in the
    store a probe is written and deleted again. Exit status 0: a backup can be made, warnings or not; otherwise the
    status with which it would fail.
    """
    found: list[Check] = []
    for check in _checks(invocation):
        found.append(check)
        if not invocation.json:
            write(_shown(check))
    if invocation.json:
        print_json({"verdict": _worst(found), "checks": [_described(check) for check in found]})
    else:
        write(_summary(found))
    first = next((check for check in found if check.verdict == "fail"), None)
    if first:
        click.get_current_context().exit(first.to_error().status)


def _checks(invocation: Invocation) -> Iterator[Check]:
    """Of the database and of the store, where they are set; one that cannot be made is a finding too."""
    settings = invocation.settings
    if settings.database.url is None and not settings.stores:
        raise ConfigurationError(
            "neither a database nor a store is set", hint="set PGPROOF_DATABASE_URL and PGPROOF_STORE"
        )
    if settings.database.url is not None:
        try:
            yield from doctor(make_source(settings), None, now)
        except ConfigurationError as error:
            yield failed("address", error)
    for chosen in invocation.stores if settings.stores else ():
        size = chosen.part_size * 3 // 2 if chosen.is_s3 else MULTIPART_BYTES
        try:
            yield from doctor(None, make_store(chosen), now, multipart_bytes=size)
            if chosen.lock != "off":
                yield _lock_check(chosen)
        except (ConfigurationError, AccessDenied, StoreUnreachable) as error:
            yield failed("store", error)


def _lock_check(chosen: StoreSettings) -> Check:
    """Whether a bucket that shall lock what is stored can."""
    store = make_store(chosen)
    if store.may_lock:
        return Check(name="store lock", verdict="ok", message=f"{store.url} has object lock")
    error = ConfigurationError(
        f"{store.url} cannot lock objects",
        hint="object lock is chosen when a bucket is made; or set PGPROOF_S3_LOCK=off",
    )
    return failed("store lock", error)


def _shown(check: Check) -> str:
    """A check as lines for people: mark, name, message; the hint below."""
    mark, colour = _MARKS[check.verdict]
    first, *more = [cell(line) for line in redact(check.message).splitlines()] or [""]
    lines = [f"{painted(mark, colour)} {check.name:<{_NAME_WIDTH}}  {first}", *(_INDENT + line for line in more)]
    if check.hint:
        lines += [_INDENT + painted(cell(line), "cyan") for line in redact(check.hint).splitlines()]
    return "\n".join(lines) + "\n"


def _summary(found: Iterable[Check]) -> str:
    count = Counter(check.verdict for check in found)
    said = [f"{count['ok']} ok"]
    said += [f"{count['warn']} to look at"] if count["warn"] else []
    said += [f"{count['fail']} to mend before a backup can be made"] if count["fail"] else []
    return f"\n{', '.join(said)}\n"


def _worst(found: Iterable[Check]) -> str:
    verdicts = {check.verdict for check in found}
    return next((verdict for verdict in ("fail", "warn") if verdict in verdicts), "ok")


def _described(check: Check) -> dict[str, object]:
    error = check.to_error()
    return {
        "name": check.name,
        "verdict": check.verdict,
        "message": redact(check.message),
        "hint": redact(check.hint) if check.hint else None,
        "code": error.code if check.verdict == "fail" else None,
        "exit_code": error.status if check.verdict == "fail" else None,
    }
