"""One POST to a web address whose every piece may be secret: tried again in a small time, ended in time whatever comes.

Owns what counts as heard, which refusals are worth another try, and what is masked of the address.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from urllib.parse import unquote, urlsplit

import httpx
import stamina
from stamina.instrumentation import set_on_retry_hooks

from backup import __version__
from backup.errors import ConfigurationError, NotificationFailed, NotificationRefused
from backup.limits import in_time
from backup.logs import MASK, redact, tell_retry

_AGAIN = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
"""Refusals of the 4xx kind that say "later"."""
_SHOWN = 200
"""Characters of an answer that are worth showing."""
_LEAST = 0.1
"""Seconds that an attempt has in any case; enough for a receiver nearby."""
_SHORTEST_SECRET = 8
"""Characters from which on a piece of the address is masked where a receiver repeats it (a guess): not every word."""
NO_QUERY: Mapping[str, str] = MappingProxyType({})
_PORTS = range(1, 1 << 16)


class Post:
    """A web address that is sent something by POST.

    Args:
        url: where to; a secret.
        setting: that says it, for messages.
        what: it is, for people.
        hint: what to do where it is not heard.
        timeout: seconds for one attempt.
        ca_file: certificates (PEM) to trust instead of the public ones.

    Raises:
        ConfigurationError: the address cannot be one, or the certificates cannot be read.
    """

    def __init__(
        self, url: str, *, setting: str, what: str, hint: str, timeout: float = 10, ca_file: Path | None = None
    ) -> None:
        self.name = f"{what} at {_host(url, setting)}"
        self._url = url
        self._hint = hint
        self._secrets = secrets_of(url)
        self._timeout = timeout
        self._trusted = _trusted(ca_file, setting) if ca_file else None

    def send(
        self,
        body: bytes,
        headers: Callable[[], Mapping[str, str]],
        *,
        within: float,
        path: str = "",
        query: Mapping[str, str] = NO_QUERY,
    ) -> None:
        """Send it. Heard is what is answered with 2xx; nobody is followed to another address.

        Args:
            body: to send.
            headers: of each attempt, made when it begins.
            within: seconds for all attempts together.
            path: what is added to that of the address.
            query: the same, of its parameters.

        Raises:
            NotificationFailed: it was not heard.
            NotificationRefused: it was, and is not wanted.
        """
        within = max(within, _LEAST)
        end = time.monotonic() + within
        trusted = self._trusted or httpx.create_ssl_context()
        url = httpx.URL(self._url)
        if path:
            before, sign, after = url.raw_path.partition(b"?")
            url = url.copy_with(raw_path=before.rstrip(b"/") + path.encode() + sign + after)
        if query:
            url = url.copy_merge_params(query)
        set_on_retry_hooks([tell_retry])
        try:
            self._try(trusted, url, body, headers, within=within, end=end)
        except _Later as error:
            raise NotificationFailed(f"{self.name}: {error}", hint=self._hint) from error

    def _try(
        self,
        trusted: ssl.SSLContext,
        url: httpx.URL,
        body: bytes,
        headers: Callable[[], Mapping[str, str]],
        *,
        within: float,
        end: float,
    ) -> None:
        longest = within / 4  # of a wait, after which there is time for a last attempt
        for attempt in stamina.retry_context(on=_Later, attempts=None, timeout=within - longest, wait_max=longest):
            with attempt:
                seconds = min(self._timeout, max(end - time.monotonic(), _LEAST))
                try:
                    in_time(lambda: self._post(trusted, url, body, headers(), seconds=seconds), seconds)  # noqa: B023 -- called now
                except TimeoutError as error:
                    raise _Later(str(error)) from error

    def _post(
        self, trusted: ssl.SSLContext, url: httpx.URL, body: bytes, headers: Mapping[str, str], *, seconds: float
    ) -> None:
        # As it is, for little of it is read: what is packed small may be as large as the memory.
        agent = {"user-agent": f"pgproof/{__version__}", "accept-encoding": "identity"}
        try:
            with (
                httpx.Client(verify=trusted, headers=agent, timeout=seconds) as client,
                client.stream("POST", url, content=body, headers=headers) as answer,
            ):
                said = _beginning(answer)
        except httpx.TimeoutException as error:
            raise _Later(f"no answer in {seconds:.3g} s") from error
        except httpx.RequestError as error:
            raise _Later(masked(str(error), self._secrets) or type(error).__name__) from error
        if answer.is_success:
            return
        refused = f"answered {answer.status_code} {answer.reason_phrase}{f': {said}' if said else ''}"
        refused = masked(refused, self._secrets)
        if answer.is_server_error or answer.status_code in _AGAIN:
            raise _Later(refused)
        raise NotificationRefused(f"{self.name}: {refused}", hint=self._hint)


class _Later(Exception):
    """An attempt that is worth another one; that nobody hears is told once, in the end."""

    told_at_the_end = True


def masked(text: str, secrets: list[str]) -> str:
    """`text` without what is secret in an address, which many a receiver repeats where it refuses."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return redact(text)


def secrets_of(url: str, *, host: bool = False) -> list[str]:
    """What must not be shown of an address, as written and as it is read, the longest first.

    That is all of it but the host; where `host` is set that too, for some services have a token there.
    """
    before, _, query = url.partition("://")[2].partition("?")
    authority, _, path = before.partition("/")
    account = authority.rpartition("@")[0]
    values = [value or name for name, _, value in (pair.partition("=") for pair in query.split("&"))]
    pieces = [authority] * host + [
        account,
        *account.split(":", 1),
        f"{path}?{query}",
        path,
        *path.split("/"),
        query,
        *values,
    ]
    forms = {form for piece in pieces for form in (piece, unquote(piece)) if len(form) >= _SHORTEST_SECRET}
    return sorted(forms, key=len, reverse=True)


def _host(url: str, setting: str) -> str:
    """The host of an address that can be one.

    Raises:
        ConfigurationError: it cannot; the address is not shown, not even a piece of it.
    """
    try:
        urlsplit(url)  # which knows that brackets come in pairs
        address = httpx.URL(url)
        address.raw_host.decode().encode("idna")  # as it will be to look it up
        host, port = address.host, address.port
    except (httpx.InvalidURL, ValueError):
        host, port = "", None
    if not host or (port is not None and port not in _PORTS):
        hint = "https://host/path; in a password or token, %2F stands for /, %3F for ?, %40 for @"
        raise ConfigurationError(f"{setting} is no web address", hint=hint)
    return host


def _trusted(ca_file: Path, setting: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except OSError as error:  # also of ssl: there is no certificate in it
        raise ConfigurationError(
            f"{setting.rpartition('.')[0]}.ca_file: no certificates can be read from {ca_file}", detail=str(error)
        ) from error


def _beginning(answer: httpx.Response) -> str:
    """The first words of a refusal. An answer that is heard need not be read."""
    if answer.is_success:
        return ""
    data = b""
    for piece in answer.iter_raw():
        data += piece
        if len(data) > _SHOWN:
            break
    text = " ".join(data[: 4 * _SHOWN].decode(errors="replace").split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} …"
