"""What every command of `kubectl pgproof` is given: which cluster, namespace and release are meant, a `Call`.

Owns the options for that, which are kubectl's own where it has them. How a command is written:

    '''`kubectl pgproof logs`: show what a Job has printed.'''

    @plugin_command("logs")
    @option("--follow", is_flag=True, envvar="PGPROOF_KUBE_FOLLOW", help="…")
    def logs(call: Call, *, follow: bool) -> None:
        '''Show what a Job has printed.'''
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import click

from backup import logs
from backup.cli.commands import PLUGIN_TABLE, short_help
from backup.cli.output import View, print_json, show
from backup.kube.connection import Cluster, from_kubeconfig
from backup.kube.releases import Component, Template, choose, templates_of

P = ParamSpec("P")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a command: a cluster and a release in it, either as it was named or the only one."""

    cluster: Cluster
    release: str | None
    database: str | None
    json: bool

    def templates(self) -> list[Template]:
        """The CronJobs of the release. Raises what `templates_of` raises."""
        return templates_of(self.cluster, self.release)

    def template(self, component: Component) -> Template:
        """The one that makes backups or restores of the database that is meant. Raises what `choose` raises too."""
        return choose(self.templates(), component, self.database)

    def chosen(self) -> list[Template]:
        """Those of the database that was named, or of all. Raises what `choose` raises too."""
        templates = self.templates()
        if self.database is None:
            return templates
        choose(templates, "backup", self.database)
        return [each for each in templates if each.database == self.database]

    def emit(self, result: object, view: View) -> None:
        """Print a result on stdout."""
        if self.json:
            print_json(result)
        else:
            show(view)


def plugin_command(name: str) -> Callable[[Callable[Concatenate[Call, P], None]], click.Command]:
    """Make a command of a function, with the common options; it is given the Call and its own options."""

    def decorate(function: Callable[Concatenate[Call, P], None]) -> click.Command:
        def call(*args: P.args, **kwargs: P.kwargs) -> None:
            said: dict[str, Any] = {each: kwargs.pop(each) for each in _COMMON}
            logs.setup(verbose=said["verbose"])
            cluster = from_kubeconfig(
                file=Path(said["kubeconfig"]) if said["kubeconfig"] else None,
                context=said["context"],
                namespace=said["namespace"],
            )
            here = Call(cluster=cluster, release=said["release"], database=said["database"], json=said["json"])
            function(here, *args, **kwargs)

        own: list[click.Parameter] = list(reversed(getattr(function, "__click_params__", [])))
        return click.Command(
            name,
            callback=call,
            params=[*own, *_common()],
            help=function.__doc__,
            short_help=short_help(name, PLUGIN_TABLE),
        )

    return decorate


_COMMON = ("namespace", "release", "database", "context", "kubeconfig", "json", "verbose")


def _common() -> list[click.Parameter]:
    return [
        _option("-n", "--namespace", metavar="NAME", envvar="PGPROOF_KUBE_NAMESPACE", help="That of the release."),
        _option(
            "-r", "--release", metavar="NAME", envvar="PGPROOF_KUBE_RELEASE", help="Needed where there are several."
        ),
        _option(
            "-d", "--database", metavar="NAME", envvar="PGPROOF_KUBE_DATABASE", help="Which of a release's several."
        ),
        _option("--context", metavar="NAME", envvar="PGPROOF_KUBE_CONTEXT", help="That of the kubeconfig."),
        _option("--kubeconfig", metavar="FILE", envvar="KUBECONFIG", help="The way to the cluster."),
        _option("--json", is_flag=True, envvar="PGPROOF_JSON", help="Results and errors on stdout as JSON."),
        _option("-v", "--verbose", is_flag=True, envvar="PGPROOF_VERBOSE", help="Tell every step."),
    ]


def _option(*declarations: str, **attributes: Any) -> click.Option:  # noqa: ANN401 -- click's own
    return click.Option(declarations, show_envvar=True, **attributes)
