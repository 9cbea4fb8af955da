"""A Kubernetes API on 127.0.0.1 that keeps objects of one namespace and breaks the line of a log where a test says.

Owns what a request is answered with. kmock, which the other tests of Kubernetes use, holds no log open and breaks none.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import yaml

NAMESPACE = "prod"
TOKEN = "token-of-the-user"
_PATH = re.compile(r"/(?:api/v1|apis/batch/v1)/namespaces/([^/]+)/(\w+)(?:/([^/]+))?(/log)?$")
_KINDS = {"cronjobs": "CronJob", "jobs": "Job", "pods": "Pod", "events": "Event"}

Object = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is sent in place of the usual: JSON, where `content` is no bytes."""

    status: int
    content: bytes | Object

    @classmethod
    def refusal(cls, status: int, message: str) -> Answer:
        """A failure as Kubernetes tells it."""
        return cls(status=status, content={"kind": "Status", "status": "Failure", "message": message, "code": status})


class PodLog:
    """What a container has written, and how often the line to its reader breaks."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.data: list[tuple[str, bytes]] = []
        self.over = False
        self.cuts: deque[tuple[int, bool]] = deque()

    def write(self, moment: str, text: bytes | str, *, end: bytes = b"\n") -> None:
        """Add a line; `moment` is the time of the container's runtime."""
        line = moment.encode() + b" " + (text.encode() if isinstance(text, str) else text) + end
        with self.changed:
            self.data.append((moment, line))
            self.changed.notify_all()

    def close(self) -> None:
        """The container writes no more."""
        with self.changed:
            self.over = True
            self.changed.notify_all()

    def cut(self, size: int, *, politely: bool = False) -> None:
        """End the next answer that is not to be cut yet after so many bytes; politely: as if it were whole."""
        self.cuts.append((size, politely))

    def pieces(self, since: str, *, follow: bool) -> Iterator[bytes]:
        """Its lines since the second of `since`, as Kubernetes counts; then those that are still to come."""
        sent = 0
        while True:
            with self.changed:
                while follow and sent >= len(self.data) and not self.over:
                    self.changed.wait()
                lines, sent = self.data[sent:], len(self.data)
            yield from (line for moment, line in lines if moment[:19] >= since[:19])
            if (self.over or not follow) and sent == len(self.data):
                return


@dataclass(slots=True, kw_only=True)
class Api:
    """The cluster: change `objects` and `logs`, read `requests`.

    Attributes:
        answers: in place of the usual ones, by method and kind, or `log`.
        on_job: what becomes of a Job that is made.
    """

    port: int
    objects: dict[tuple[str, str], Object] = field(default_factory=dict)
    logs: dict[str, PodLog] = field(default_factory=dict)
    answers: dict[tuple[str, str], Answer] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    on_job: Callable[[str], object] = str
    created: int = 0

    def add(self, kind: str, name: str, *, labels: Mapping[str, str] = {}, **content: Any) -> Object:  # noqa: ANN401 -- JSON
        """Let the cluster have an object."""
        made = self.stamped({"kind": _KINDS[kind], **content}, {"name": name, "labels": dict(labels)})
        self.objects[kind, name] = made
        return made

    def stamped(self, content: Object, metadata: Mapping[str, Any]) -> Object:
        """An object with what a cluster adds to it; each is a second younger than the one before."""
        self.created += 1
        moment = f"2026-11-22T08:{self.created // 60:02}:{self.created % 60:02}Z"
        own = {"namespace": NAMESPACE, "uid": f"uid-{self.created}", "creationTimestamp": moment}
        return {**content, "metadata": {**metadata, **own}}

    def log(self, pod: str) -> PodLog:
        """The log of a pod."""
        return self.logs.setdefault(pod, PodLog())

    def names(self, kind: str) -> list[str]:
        """Of all objects of a kind."""
        return [name for its, name in list(self.objects) if its == kind]

    def asked(self, method: str, ending: str) -> list[dict[str, str]]:
        """The queries of requests, by how their paths end."""
        return [query for each, path, query in self.requests if each == method and path.endswith(ending)]

    def kubeconfig(
        self, folder: Path, *, scheme: str = "http", port: int | None = None, cluster: Mapping[str, str] = {}
    ) -> Path:
        """A kubeconfig for it, in a file of its own."""
        server = f"{scheme}://127.0.0.1:{port or self.port}"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "this", "cluster": {"server": server, **cluster}}],
            "users": [{"name": "me", "user": {"token": TOKEN}}],
            "contexts": [{"name": "here", "context": {"cluster": "this", "user": "me", "namespace": NAMESPACE}}],
        }
        file = folder / "kubeconfig"
        file.write_text(yaml.safe_dump(content), encoding="utf-8")
        return file


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: ClassVar[Api]

    def do_GET(self) -> None:
        kind, name, log, query = self._understood()
        if log:
            self._send_log(name, query)
        elif name:
            self._send_found(kind, name)
        else:
            found = [each for (its, _), each in list(self.api.objects.items()) if its == kind and _fits(each, query)]
            self._send(Answer(status=200, content={"kind": "List", "items": found}))

    def do_POST(self) -> None:
        kind, *_ = self._understood()
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._instead:
            self._send(self._instead)
            return
        made = self.api.stamped(body, body["metadata"])
        self.api.objects[kind, made["metadata"]["name"]] = made
        self.api.on_job(made["metadata"]["name"])
        self._send(Answer(status=201, content=made))

    def do_DELETE(self) -> None:
        kind, name, *_ = self._understood()
        self._send_found(kind, name)
        if not self._instead:
            self.api.objects.pop((kind, name), None)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _understood(self) -> tuple[str, str, bool, dict[str, str]]:
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        self.api.requests.append((self.command, url.path, query))
        found = _PATH.match(url.path)
        namespace, kind, name, log = found.groups() if found else ("", "", "", None)
        self._instead = self.api.answers.get((self.command, "log" if log else kind))
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            self._instead = Answer.refusal(401, "Unauthorized")
        elif namespace != NAMESPACE and not self._instead:
            self._instead = Answer(status=200, content={"kind": "List", "items": []})
        return kind, name or "", bool(log), query

    def _send_found(self, kind: str, name: str) -> None:
        found = self.api.objects.get((kind, name))
        missing = Answer.refusal(404, f'{kind} "{name}" not found')
        self._send(Answer(status=200, content=found) if found else missing)

    def _send(self, answer: Answer) -> None:
        answer = self._instead or answer
        content = answer.content if isinstance(answer.content, bytes) else json.dumps(answer.content).encode()
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _send_log(self, pod: str, query: Mapping[str, str]) -> None:
        if self._instead or pod not in self.api.logs:
            self._send(Answer.refusal(404, f'pods "{pod}" not found'))
            return
        log = self.api.logs[pod]
        left, politely = log.cuts.popleft() if log.cuts else (None, True)
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in log.pieces(query.get("sinceTime", ""), follow=query["follow"] == "true"):
            piece = line if left is None else line[:left]
            if piece:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            if left is not None:
                left -= len(piece)
                if left == 0:
                    break
        if politely:
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.close_connection = True


def _fits(found: Object, query: Mapping[str, str]) -> bool:
    """Whether the selectors choose it."""
    wanted = [part.split("=") for part in query.get("labelSelector", "").split(",") if part]
    fields = [part.split("=") for part in query.get("fieldSelector", "").split(",") if part]
    labels = found["metadata"].get("labels", {})
    flat = {"involvedObject.name": found.get("involvedObject", {}).get("name"), "type": found.get("type")}
    return all(labels.get(key) == value for key, value in wanted) and all(flat[key] == value for key, value in fields)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A reader that goes away is none of our business."""


@contextmanager
def running_api(context: ssl.SSLContext | None = None) -> Iterator[Api]:
    """An API as long as the context; with an SSL context, over TLS."""
    handler = type("Handler", (_Handler,), {})
    with _Server(("127.0.0.1", 0), handler) as server:
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        handler.api = Api(port=server.server_address[1])  # type: ignore[attr-defined]  # of this server alone
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield handler.api  # type: ignore[attr-defined]  # as above
        finally:
            for log in handler.api.logs.values():  # type: ignore[attr-defined]  # as above
                log.close()
            with suppress(OSError):
                server.shutdown()
            thread.join()
