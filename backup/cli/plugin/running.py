"""Runs a command of pgproof as a Job of a release and follows it. Owns what the user sees of it meanwhile."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence

import click

from backup.cli.options import option
from backup.cli.output import Fields, write
from backup.cli.plugin.options import Call
from backup.errors import Interrupted
from backup.kube.following import Ended, Follower
from backup.kube.jobs import make_job
from backup.kube.objects import delete
from backup.kube.releases import Component
from backup.logs import log
from backup.signals import undisturbed

detach = option(
    "--detach", is_flag=True, envvar="PGPROOF_KUBE_DETACH", help="Only make the Job; do not wait for its end."
)
start_within = option(
    "--start-within",
    type=click.IntRange(min=1),
    default=300,
    show_default=True,
    metavar="SECONDS",
    envvar="PGPROOF_KUBE_START_WITHIN",
    help="How long its pod may take to start.",
)


def run_job(call: Call, component: Component, args: Sequence[str] | None, *, detach: bool, start_within: int) -> None:
    """Make a Job that runs pgproof with `args` (None: the template's) and, unless detached, follow it.

    Its log goes to stderr, its outcome to stdout, and its exit code becomes ours.
    """
    job = make_job(call.cluster, call.template(component), args)
    if detach:
        call.emit({"job": job, "namespace": call.cluster.namespace}, job)
        return
    log.info("job made", job=job, namespace=call.cluster.namespace)
    follow_job(call, job, start_within=start_within, tell=_to_stderr)


def follow_job(call: Call, job: str, *, start_within: int, tell: Callable[[str], None]) -> None:
    """Follow a Job to its end, say how it was, and take its exit code as ours."""
    try:
        ended = Follower(call.cluster, job, tell, start_within=start_within).follow()
    except Interrupted as stop:
        stop.hint = f"the job goes on: kubectl pgproof logs --follow {job} --namespace {call.cluster.namespace}"
        raise
    outcome = {"job": job, "namespace": call.cluster.namespace, "exit_code": ended.code, "outcome": ended.said}
    if call.json:
        call.emit(outcome, "")
    elif ended.code == 0:
        call.emit(outcome, Fields(values={"job": job, "outcome": ended.said or "done"}))
    click.get_current_context().exit(ended.code)


def ask(call: Call, args: Sequence[str]) -> None:
    """Let pgproof answer a question from inside the cluster: print its result, and leave no Job behind."""
    template = call.template("restore")  # its Jobs are not tried again
    # Events as JSON, one a line: so they can be told from the result, with which they share the pod's log.
    environ = {"PGPROOF_LOG_FORMAT": "json"}
    job = make_job(call.cluster, template, args, environ=environ)
    lines: list[str] = []
    try:
        ended = Follower(call.cluster, job, lines.append, start_within=_ASK_WITHIN).follow()
    finally:
        with undisturbed():
            delete(call.cluster, "jobs", job)
    _print(ended, lines)
    click.get_current_context().exit(ended.code)


_ASK_WITHIN = 120.0


def _print(ended: Ended, lines: Sequence[str]) -> None:
    """Events and failures on stderr, the result on stdout."""
    result = [line for line in lines if not _is_event(line)]
    for line in lines:
        if _is_event(line):
            _to_stderr(line)
    if ended.code and not any(line.startswith("{") for line in result):
        _to_stderr("\n".join(result))
    elif result:
        write("\n".join(result) + "\n")


def _is_event(line: str) -> bool:
    try:
        found = json.loads(line)
    except ValueError:
        return False
    return isinstance(found, Mapping) and "level" in found


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 -- the log of a pod, as it came
