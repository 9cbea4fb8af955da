"""Pod Security "restricted", as Kubernetes documents it for pods on Linux. Owns the rules, knows no chart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
_SECCOMP = {"RuntimeDefault", "Localhost"}


def violations(pod: dict[str, Any]) -> list[str]:
    """What in a pod's spec "restricted" forbids."""
    context = pod.get("securityContext", {})
    found = [f"{name} is set" for name in ("hostNetwork", "hostPID", "hostIPC") if pod.get(name)]
    found += [f"volume {kind}" for volume in pod.get("volumes", ()) for kind in volume.keys() - _VOLUMES - {"name"}]
    if context.get("sysctls"):
        found.append("sysctls are set")
    for container in (*pod["containers"], *pod.get("initContainers", ())):
        found += _of_container(container, context)
    return found


def _of_container(container: dict[str, Any], pod: dict[str, Any]) -> Iterator[str]:
    own = container.get("securityContext", {})
    both = {**pod, **own}
    capabilities = own.get("capabilities", {})
    if own.get("privileged"):
        yield "it is privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "privileges may grow"
    if "ALL" not in capabilities.get("drop", ()) or set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"}:
        yield "it has capabilities"
    if both.get("runAsNonRoot") is not True or both.get("runAsUser") == 0:
        yield "it may be root"
    if both.get("seccompProfile", {}).get("type") not in _SECCOMP:
        yield "it has no seccomp profile"
    if own.get("procMount", "Default") != "Default":
        yield "it sees more of /proc"
    if any(port.get("hostPort") for port in container.get("ports", ())):
        yield "it takes a port of the host"
