"""Runs a command of pgproof as a Job of a release and follows it. Owns what the user sees of it meanwhile."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence

import click

from backup.cli.options import option
from backup.cli.output import Fields, write
from backup.cli.plugin.options import Call
from backup.errors import ClusterUnreachable, Interrupted, NotFound, PgproofError
from backup.kube.following import Ended, Follower
from backup.kube.jobs import make_job, new_name
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
    template = call.template(component)
    job = new_name(template)
    try:
        make_job(call.cluster, template, job, args)
    except (Interrupted, ClusterUnreachable) as error:  # the cluster may have heard us all the same
        error.hint = f"if it was made, {_goes_on(call, job)}"
        raise
    if detach:
        call.emit({"job": job, "namespace": call.cluster.namespace}, job)
        return
    log.info("job made", job=job, namespace=call.cluster.namespace)
    follow_job(call, job, start_within=start_within, tell=to_stderr)


def follow_job(call: Call, job: str, *, start_within: int, tell: Callable[[str], None]) -> None:
    """Follow a Job to its end, say how it was, and take its exit code as ours."""
    try:
        ended = Follower(call.cluster, job, tell, start_within=start_within).follow()
    except Interrupted as stop:
        stop.hint = _goes_on(call, job)
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
    lines: list[str] = []
    job = new_name(template)
    try:
        make_job(call.cluster, template, job, args, environ=environ)
        ended = Follower(call.cluster, job, lines.append, start_within=_ASK_WITHIN).follow()
    finally:
        with undisturbed():
            _take_away(call, job)
    _print(ended, lines)
    click.get_current_context().exit(ended.code)


_ASK_WITHIN = 120.0


def _take_away(call: Call, job: str) -> None:
    """Delete a Job that has answered; where that is not allowed its answer is none the worse."""
    try:
        delete(call.cluster, "jobs", job)
    except NotFound:
        pass
    except PgproofError as error:
        log.warning("the job stays", job=job, reason=error.message, hint=error.hint)


def _print(ended: Ended, lines: Sequence[str]) -> None:
    """Events and what failed on stderr, the result on stdout: of a failure that is its JSON, if there is some.

    A pod's log has both streams in one, line by line. The words of a failure are told from its JSON by what the pod
    said last: they are the same.
    """
    told = set(ended.said.splitlines()) if ended.code else set()
    told |= {line for line in lines if _is_event(line)}
    result = [line for line in lines if line not in told]
    if ended.code and not _is_json(result):
        told, result = set(lines), []
    for line in lines:
        if line in told:
            to_stderr(line)
    if result:
        write("\n".join(result) + "\n")


def _is_json(lines: Sequence[str]) -> bool:
    try:
        json.loads("\n".join(lines))
    except ValueError:
        return False
    return True


def _goes_on(call: Call, job: str) -> str:
    return f"the job goes on: kubectl pgproof logs --follow {job} --namespace {call.cluster.namespace}"


def _is_event(line: str) -> bool:
    try:
        found = json.loads(line)
    except ValueError:
        return False
    return isinstance(found, Mapping) and "level" in found


def to_stderr(line: str) -> None:
    """Print a line of a pod's log beside our own events."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201 -- the log of a pod, as it came
