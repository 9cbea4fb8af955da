# shellcheck shell=bash disable=SC2034
# What the scripts in this folder share: names, addresses, paths. Sourced, not run.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pgproof-node
bin=$cache/bin           # programs; kept
images=$cache/containerd # images that were loaded; kept
state=$cache/state       # all the rest of a node; made by `up`, deleted by `down`
logs=$cache/log          # of each component, of the last node
kubeconfig=$state/kubeconfig
pid_file=$state/pid # of the process in whose namespaces the node lives

# The machine and the node are the two ends of one cable; pods and services are known to the node alone.
cable=pgproof0 machine_ip=10.245.0.1 node_ip=10.245.0.2 cable_net=10.245.0.0/30
pod_gateway=10.245.1.1 pod_net=10.245.1.0/24 service_net=10.245.128.0/17 dns_ip=$pod_gateway
cgroup=pgproof-node
pause_image=localhost/pgproof-node/pause:1

say() { echo "[$(date +%T)] $*" >&2; }
die() {
  say "error: $*"
  exit 1
}

# init_pid: the node's first process, if the node is up.
init_pid() {
  local pid
  pid=$(cat "$pid_file" 2>/dev/null) || return 1
  [[ $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") == *"$here/inside"* ]] && echo "$pid"
}

# on_node COMMAND...: run it in the node's namespaces.
on_node() {
  local pid
  pid=$(init_pid) || die "the node is not up"
  nsenter --target "$pid" --mount --net --pid -- "$@"
}

node_ctr() { on_node ctr --address /run/containerd.sock --namespace k8s.io "$@"; }

((EUID == 0)) || die "a node needs root"
