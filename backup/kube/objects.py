"""Objects of one namespace as plain JSON, whatever fields its version of Kubernetes knows. Owns the API's paths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any, Literal

from backup.kube.connection import Cluster, translated

Kind = Literal["cronjobs", "jobs", "pods", "events"]
Object = Mapping[str, Any]

_GROUPS: dict[Kind, str] = {
    "cronjobs": "/apis/batch/v1",
    "jobs": "/apis/batch/v1",
    "pods": "/api/v1",
    "events": "/api/v1",
}
_SILENCE = 60.0
"""Seconds without a line after which a log is asked for again: a proxy in between may have dropped the line."""
_EXCERPT = 100
"""Characters of an answer that is none."""


def get(cluster: Cluster, kind: Kind, name: str) -> Object:
    """One object. Raises NotFound and what else `translated` does."""
    with translated(f"get the {kind[:-1]} {name} in {cluster.namespace}"):
        return _call(cluster, "GET", kind, name=name)


def items(cluster: Cluster, kind: Kind, **selectors: str) -> list[Object]:
    """All objects of a kind that `labelSelector` and `fieldSelector` choose."""
    with translated(f"list {kind} in {cluster.namespace}"):
        found = _call(cluster, "GET", kind, query=selectors)
        if not isinstance(found.get("items"), list):
            raise ValueError("there is no list in its answer")  # noqa: TRY004 -- as in _call
        return list(found["items"])


def create(cluster: Cluster, kind: Kind, body: Object) -> Object:
    """Create an object; what the cluster made of it."""
    with translated(f"create {kind} in {cluster.namespace}"):
        return _call(cluster, "POST", kind, body=body)


def delete(cluster: Cluster, kind: Kind, name: str) -> None:
    """Delete an object and what belongs to it."""
    with translated(f"delete the {kind[:-1]} {name} in {cluster.namespace}"):
        _call(cluster, "DELETE", kind, name=name, query={"propagationPolicy": "Background"})


def log_lines(
    cluster: Cluster, pod: str, *, container: str, follow: bool, since: str = "", ended: bool = True
) -> Iterator[str]:
    """The log of a pod, each line behind the time at which it was written (RFC 3339, nanoseconds) and a space.

    Ends with the container where `follow`; also when nothing was said for a minute, then it is to be asked again.

    Args:
        cluster: where the pod is.
        pod: its name.
        container: which of its containers.
        follow: wait for what is still to be written.
        since: time of the last line that is known; those of its second come again.
        ended: the container writes no more, so that a last line without its end is one; else it is left out.
    """
    query = {"container": container, "timestamps": "true", "follow": str(follow).lower()}
    query |= {"sinceTime": since} if since else {}
    with translated(f"read the log of the pod {pod} in {cluster.namespace}"):
        answer = cluster.api.call_api(
            f"{_GROUPS['pods']}/namespaces/{cluster.namespace}/pods/{pod}/log",
            "GET",
            query_params=list(query.items()),
            auth_settings=["BearerToken"],
            _preload_content=False,
            _return_http_data_only=True,
            _request_timeout=(cluster.timeout, _SILENCE),
        )
        with closing(answer):
            rest = b""
            for piece in answer.stream(1 << 14):
                *lines, rest = (rest + piece).split(b"\n")
                yield from (line.decode(errors="replace") for line in lines)
            if rest and ended:
                yield rest.decode(errors="replace")


def _call(
    cluster: Cluster,
    method: str,
    kind: Kind,
    *,
    name: str | None = None,
    query: Mapping[str, str] | None = None,
    body: Object | None = None,
) -> dict[str, Any]:
    tail = f"/{name}" if name else ""
    found = cluster.api.call_api(
        f"{_GROUPS[kind]}/namespaces/{cluster.namespace}/{kind}{tail}",
        method,
        query_params=list((query or {}).items()),
        header_params={"Accept": "application/json", "Content-Type": "application/json"},
        body=body,
        response_type="object",
        auth_settings=["BearerToken"],
        _return_http_data_only=True,
        _request_timeout=(cluster.timeout, cluster.timeout),  # the client takes no single number with a fraction
    )
    if not isinstance(found, dict):
        raise ValueError(f"no JSON object, but {str(found)[:_EXCERPT]!r}")  # noqa: TRY004 -- its content is wrong
    return found
