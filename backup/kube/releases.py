"""Releases of the chart in a namespace: their CronJobs, which are the templates of every Job.

Owns how a release is recognised: by the labels that the chart gives (helm/templates/_names.tpl).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from backup.errors import NotFound, UsageError
from backup.kube.connection import Cluster
from backup.kube.objects import Object, items

Component = Literal["backup", "restore", "drill", "sync"]

OURS = "app.kubernetes.io/name=pgproof"
RELEASE = "app.kubernetes.io/instance"
COMPONENT = "app.kubernetes.io/component"
DATABASE = "pgproof/database"
_TARGET = "PGPROOF_TARGET"
ONLY = "default"
"""What a release with a single database calls it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A CronJob of a release: what it runs, and for which of its databases."""

    name: str
    release: str
    component: str
    database: str
    cronjob: Object = field(repr=False)

    @property
    def target(self) -> str | None:
        """What its backups are called, where the release says that; else it is the database's own name."""
        pod = self.cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        said = [each for container in pod["containers"] for each in container.get("env", ())]
        return next((each.get("value") for each in said if each["name"] == _TARGET), None)


def templates_of(cluster: Cluster, release: str | None) -> list[Template]:
    """The CronJobs of a release, or of the only one that the namespace has.

    Raises:
        NotFound: there is no such release, or none at all.
        UsageError: there are several to choose from.
        AccessDenied, ClusterUnreachable: the cluster cannot be asked.
    """
    found = [_template(each) for each in items(cluster, "cronjobs", labelSelector=OURS)]
    releases = sorted({each.release for each in found})
    if not releases:
        raise NotFound(
            f"no pgproof is installed in the namespace {cluster.namespace}",
            hint="name another with --namespace; helm list --all-namespaces shows what is installed where",
        )
    if release is None and len(releases) > 1:
        raise UsageError(
            f"there are several releases in {cluster.namespace}", hint=f"choose one with --release: {_list(releases)}"
        )
    chosen = [each for each in found if release in {None, each.release}]
    if not chosen:
        raise NotFound(
            f"there is no release {release} of pgproof in the namespace {cluster.namespace}",
            hint=f"there is {_list(releases)}; for another namespace say --namespace",
        )
    return chosen


def choose(
    templates: Iterable[Template],
    component: Component,
    database: str | None,
    *,
    target: str | None = None,
    own: str | None = None,
) -> Template:
    """The template of a release for a component and one of its databases, or for the only one.

    Where no database is named, it is the one of that target. One that does not say what its target is has `own`, or
    may be meant where that is not known.

    Raises:
        NotFound: there is none.
        UsageError: there are several databases to choose from, or none of them has that target.
    """
    fitting = {each.database: each for each in templates if each.component == component}
    if database is None and target and fitting:
        targets = {name: each.target or own for name, each in fitting.items()}
        database = next((name for name, its in targets.items() if its == target), None)
        if database is None and all(targets.values()):
            said = _list(its for its in targets.values() if its)
            raise UsageError(f"no {component} of this release is of {target}", hint=f"it has {said}")
    if database is None and len(fitting) > 1:
        raise UsageError("the release has several databases", hint=f"choose one with --database: {_list(fitting)}")
    name = database or next(iter(fitting), ONLY)
    if name not in fitting:
        raise NotFound(f"there is no CronJob for a {component} of {name}", hint=f"there is {_list(fitting) or 'none'}")
    return fitting[name]


def _template(cronjob: Object) -> Template:
    metadata = cronjob["metadata"]
    labels = metadata.get("labels", {})
    return Template(
        name=metadata["name"],
        release=labels.get(RELEASE, ""),
        component=labels.get(COMPONENT, ""),
        database=labels.get(DATABASE, ONLY),
        cronjob=cronjob,
    )


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
