"""The way to a Kubernetes cluster, and what its answers mean. Owns the wording of what is missing."""

from __future__ import annotations

import json
import logging
import os
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.request import getproxies

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from kubernetes.config.incluster_config import InClusterConfigLoader
from kubernetes.config.kube_config import KubeConfigLoader, KubeConfigMerger
from urllib3.exceptions import HTTPError

from backup.errors import AccessDenied, ClusterUnreachable, ConfigurationError, NotFound, PgproofError, RequestRefused

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes puts what a pod may know of itself."""
_USUAL = "~/.kube/config"
_NO_TLS, _FORBIDDEN, _UNAUTHORIZED, _NOT_FOUND = 0, 403, 401, 404
_LATER = {408, 429}
_REFUSALS, _SERVER_ERRORS = 400, 500


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
    settings = _configuration()
    places = str(file) if file else os.environ.get("KUBECONFIG") or _USUAL
    try:
        merged = KubeConfigMerger(places)
        if merged.config is None:
            return _without_kubeconfig(places, explicit=bool(file or context), namespace=namespace, timeout=timeout)
        with _complaints() as said:
            loader = KubeConfigLoader(
                merged.config,
                _context(merged, context),
                config_base_path=None,
                config_persister=merged.save_changes,
            )
            loader.load_and_set(settings)
    except ConfigurationError:
        raise
    except ConfigException as error:
        raise ConfigurationError("the kubeconfig cannot be used", detail=_without_entries(error)) from error
    except Exception as error:  # the client raises whatever its YAML holds
        raise ConfigurationError("the kubeconfig cannot be read", detail=f"{type(error).__name__}: {error}") from error
    if said:
        raise ConfigurationError(
            "the kubeconfig's program for logging in gives no credentials",
            detail=said[-1],
            hint="see whether kubectl get pods works; what it runs must be installed here too",
        )
    if proxy := _proxy_of(merged, loader.current_context["context"].get("cluster")):
        settings.proxy, settings.no_proxy = proxy, None
    chosen = namespace or loader.current_context["context"].get("namespace") or "default"
    settings.retries = False
    return Cluster(api=client.ApiClient(settings), namespace=chosen, timeout=timeout)


def _configuration() -> client.Configuration:
    """Of the client, with the proxies that the environment names: its own reading of them forgets the exceptions."""
    settings = client.Configuration()
    proxies = getproxies()
    settings.proxy, settings.no_proxy = proxies.get("https"), proxies.get("no")
    return settings


def _proxy_of(merged: KubeConfigMerger, name: str | None) -> str | None:
    """The `proxy-url` of a cluster in the kubeconfig."""
    node = merged.config["clusters"].get_with_name(name, safe=True) if name else None
    return str(node["cluster"]["proxy-url"]) if node and "proxy-url" in node["cluster"] else None


def _without_kubeconfig(places: str, *, explicit: bool, namespace: str | None, timeout: float) -> Cluster:
    """The pod's own cluster, unless another was asked for."""
    if not explicit and (SERVICE_ACCOUNT / "token").exists():
        own = of_this_pod(timeout=timeout)
        return replace(own, namespace=namespace or own.namespace)
    raise ConfigurationError(
        "no cluster is set",
        detail=f"there is no file {places}",
        hint="set KUBECONFIG or --kubeconfig to the file that kubectl uses",
    )


def _context(merged: KubeConfigMerger, wanted: str | None) -> str:
    """The context that is meant. Of several files the first that names a current one decides, as kubectl has it."""
    names = sorted(str(each["name"]) for each in merged.config.value["contexts"])
    currents = [each.get("current-context") for each in merged.config_files.values()]
    found = wanted or next(filter(None, currents), None)
    if found is None or found not in names:
        raise ConfigurationError(
            f"the kubeconfig has no context {found}" if found else "the kubeconfig names no current context",
            hint=f"choose one with --context: {', '.join(names) or 'but there is none'}",
        )
    return str(found)


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """What the client says to Python's own logger, and nobody hears: it goes on without credentials then."""
    said: list[str] = []

    def keep(record: logging.LogRecord) -> bool:
        said.append(record.getMessage())
        return False

    logging.getLogger().addFilter(keep)
    try:
        yield said
    finally:
        logging.getLogger().removeFilter(keep)


def _without_entries(error: ConfigException) -> str:
    """Its text without the entries of the file that it may hold in full, with their tokens."""
    return re.sub(r"\{.*\}", "…", str(error), flags=re.DOTALL)


def of_this_pod(*, timeout: float, folder: Path = SERVICE_ACCOUNT) -> Cluster:
    """The cluster that this process is a pod of, by its service account, whose files are in `folder`.

    Raises:
        ConfigurationError: it is no pod, or has no token.
    """
    settings = _configuration()
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
        RequestRefused: the API does not take it.
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
    except ValueError as error:  # no JSON, no UTF-8, or not what an object looks like
        raise ClusterUnreachable(
            f"what answers is no Kubernetes API: {what}",
            detail=str(error),
            hint="is there a proxy in between, or a wrong address in the kubeconfig?",
        ) from error


def _meaning(error: ApiException, what: str) -> PgproofError:
    said = _message(error)
    if error.status == _NO_TLS:
        return ClusterUnreachable(
            f"no trusted connection to the Kubernetes cluster: {what}",
            detail=str(error.reason).partition("\n")[2],
            hint="the kubeconfig may be of another cluster, or older than the certificates of this one",
        )
    if error.status in {_UNAUTHORIZED, _FORBIDDEN}:
        return _denied(error.status, what, said)
    if error.status == _NOT_FOUND:
        return NotFound(f"not there: {what}", detail=said)
    if _REFUSALS <= error.status < _SERVER_ERRORS and error.status not in _LATER:
        return RequestRefused(f"the Kubernetes cluster refuses this: {what}", detail=said)
    return ClusterUnreachable(f"the Kubernetes cluster cannot do this: {what}", detail=said)


def _denied(status: int, what: str, said: str) -> AccessDenied:
    if status == _UNAUTHORIZED:
        return AccessDenied(f"the cluster does not know us: {what}", detail=said, hint="log in to the cluster again")
    if "is forbidden: User" not in said:  # admission: a quota, Pod Security
        return AccessDenied(f"the cluster does not allow this: {what}", detail=said)
    return AccessDenied(f"no right to {what}", detail=said, hint="the Role in docs/kubectl.md has what it takes")


def _message(error: ApiException) -> str:
    """The API's own words."""
    try:
        return str(json.loads(error.body or "")["message"])
    except (TypeError, ValueError, KeyError):
        return f"{error.status} {error.reason}"


def _short(error: Exception) -> str:
    """The reason at the end of urllib3's chain."""
    return re.sub(r"^.*?Caused by \w+\((.*)\)\)?$", r"\1", str(error), flags=re.DOTALL)
