"""The way to a Kubernetes cluster, and what its answers mean. Owns the wording of what is missing."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from kubernetes.config.incluster_config import InClusterConfigLoader
from urllib3.exceptions import HTTPError

from backup.errors import AccessDenied, ClusterUnreachable, ConfigurationError, NotFound, PgproofError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes puts what a pod may know of itself."""
_FORBIDDEN, _UNAUTHORIZED, _NOT_FOUND = 403, 401, 404


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster that answers to us, and the namespace that is meant. `timeout` in seconds, of each request."""

    api: client.ApiClient
    namespace: str
    timeout: float

    @property
    def core(self) -> client.CoreV1Api:
        """Pods, logs, events."""
        return client.CoreV1Api(self.api)

    @property
    def batch(self) -> client.BatchV1Api:
        """Jobs and CronJobs."""
        return client.BatchV1Api(self.api)


def from_kubeconfig(
    *, file: Path | None = None, context: str | None = None, namespace: str | None = None, timeout: float = 15
) -> Cluster:
    """The cluster of a kubeconfig as kubectl finds it, or, in a pod without one, the pod's own.

    Raises:
        ConfigurationError: there is none, it cannot be read, or has no such context.
    """
    settings = client.Configuration()
    try:
        loader_file = str(file) if file else None
        known, active = config.list_kube_config_contexts(loader_file)
        config.load_kube_config(loader_file, context, settings)
    except ConfigException as error:
        if not file and not context and (SERVICE_ACCOUNT / "token").exists():
            own = of_this_pod(timeout=timeout)
            return replace(own, namespace=namespace or own.namespace)
        raise ConfigurationError(
            "no cluster is set",
            detail=str(error),
            hint="set KUBECONFIG or --kubeconfig; kubectl config get-contexts lists the contexts",
        ) from error
    except Exception as error:  # the client raises whatever its YAML holds
        raise ConfigurationError("the kubeconfig cannot be read", detail=f"{type(error).__name__}: {error}") from error
    if context:
        active = next(each for each in known if each["name"] == context)
    chosen = namespace or active.get("context", {}).get("namespace") or "default"
    settings.retries = False
    return Cluster(api=client.ApiClient(settings), namespace=chosen, timeout=timeout)


def of_this_pod(*, timeout: float, folder: Path = SERVICE_ACCOUNT) -> Cluster:
    """The cluster that this process is a pod of, by its service account, whose files are in `folder`.

    Raises:
        ConfigurationError: it is no pod, or has no token.
    """
    settings = client.Configuration()
    try:
        InClusterConfigLoader(str(folder / "token"), str(folder / "ca.crt")).load_and_set(settings)
        namespace = (folder / "namespace").read_text(encoding="utf-8").strip()
    except (ConfigException, OSError) as error:
        raise ConfigurationError(
            "this is no pod with a service account's token",
            detail=str(error),
            hint="set automountServiceAccountToken: true; the chart's events.enabled does",
        ) from error
    settings.retries = False
    return Cluster(api=client.ApiClient(settings), namespace=namespace, timeout=timeout)


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn what the client raises into our errors. `what` was done is said, such as `list cronjobs in shop`.

    Raises:
        AccessDenied: who we are may not do it.
        NotFound: it is not there.
        ClusterUnreachable: nobody answers, or not as a Kubernetes API would.
    """
    try:
        yield
    except ApiException as error:
        raise _meaning(error, what) from error
    except (HTTPError, ssl.SSLError, OSError) as error:
        raise ClusterUnreachable(
            f"the Kubernetes cluster does not answer: {what}",
            detail=_short(error),
            hint="kubectl cluster-info shows whether it is there, --context chooses another",
        ) from error


def _meaning(error: ApiException, what: str) -> PgproofError:
    said = _message(error)
    if error.status == _UNAUTHORIZED:
        return AccessDenied(f"the cluster does not know us: {what}", detail=said, hint="log in to the cluster again")
    if error.status == _FORBIDDEN:
        if "is forbidden: User" not in said:  # admission: a quota, Pod Security
            return AccessDenied(f"the cluster does not allow this: {what}", detail=said)
        return AccessDenied(f"no right to {what}", detail=said, hint="the Role in docs/kubectl.md has what it takes")
    if error.status == _NOT_FOUND:
        return NotFound(f"not there: {what}", detail=said)
    return ClusterUnreachable(f"the Kubernetes cluster cannot do this: {what}", detail=said)


def _message(error: ApiException) -> str:
    """The API's own words."""
    try:
        return str(json.loads(error.body or "")["message"])
    except (TypeError, ValueError, KeyError):
        return f"{error.status} {error.reason}"


def _short(error: Exception) -> str:
    """The reason at the end of urllib3's chain."""
    return re.sub(r"^.*?Caused by \w+\((.*)\)\)?$", r"\1", str(error), flags=re.DOTALL)
