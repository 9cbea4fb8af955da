"""Whose keys open a bucket: finds out where keys come from, and gets them. Never prints one.

Owns the order of the places, that of Amazon's own tools: the keys themselves, the environment, a web identity,
a container's role, the credentials file, an instance's role. The SDK's providers do the fetching; here their
failures become ours, without the addresses that they put into their messages, which hold tokens.
"""

from __future__ import annotations

import configparser
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from minio.credentials.credentials import Credentials
from minio.credentials.providers import (
    IamAwsProvider,
    Provider,
    StaticProvider,
    WebIdentityProvider,
)
from pydantic import SecretStr
from urllib3.exceptions import HTTPError

from backup.errors import AccessDenied, ConfigurationError, PgproofError, StoreUnreachable
from backup.logs import hide, log
from backup.stores.addresses import KeyMode, KeySource, Patience
from backup.stores.http_client import make_client

Environ = Mapping[str, str]

_LOOKED_FOR = (
    "PGPROOF_S3_ACCESS_KEY, AWS_ACCESS_KEY_ID, AWS_WEB_IDENTITY_TOKEN_FILE, "
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and _FULL_URI"
)
_NEAR = Patience(connect=timedelta(seconds=1), read=timedelta(seconds=5), retries=1)
"""For a server that is on the machine or is not there."""

_SERVER_FAULT = 500
_STATUS = re.compile(r"status code (\d{3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """A place that keys come from, and its name for people. `provider` is None for no keys at all."""

    provider: Provider | None
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What the finders look at."""

    source: KeySource
    environ: Environ
    region: str | None


def find_keys(source: KeySource, environ: Environ, *, region: str | None = None) -> Keys:
    """The place that `source` names, or in mode `auto` the first that has keys, told in a debug event. Asks no server.

    Args:
        source: the settings.
        environ: of the process. The SDK reads the container's and instance's variables itself.
        region: of the bucket, for the address of Amazon's token service.

    Raises:
        ConfigurationError: nothing is there.
    """
    keys = _found(_Asked(source=source, environ=environ, region=region))
    log.debug("keys of the bucket", place=keys.place)
    return keys


def _found(asked: _Asked) -> Keys:
    source = asked.source
    if source.mode == "anonymous":
        return Keys(provider=None, place="no keys (anonymous)")
    for mode, find in _FINDERS:
        if source.mode in {"auto", mode}:
            found = find(asked)
            if found:
                return found
    if source.mode == "auto":
        raise _nothing_found(asked, "off: AWS_EC2_METADATA_DISABLED")
    raise ConfigurationError(f"no keys for S3 are found where PGPROOF_S3_CREDENTIALS={source.mode} looks for them")


_Failed = Callable[[Exception], PgproofError]


class _Fetched(Provider):
    """Another provider, one thread at a time, its failures translated: by `never` until it had keys once."""

    def __init__(self, provider: Provider, failed: _Failed, never: _Failed | None = None) -> None:
        self._provider = provider
        self._failed = failed
        self._told_by = never or failed
        self._lock = threading.Lock()

    def retrieve(self) -> Credentials:
        """The keys, fetched anew where they have expired."""
        with self._lock:
            try:
                found = self._provider.retrieve()
            except (ValueError, KeyError, OSError, SyntaxError, HTTPError) as error:
                failure = self._told_by(error)
            else:
                self._told_by = self._failed
                return found
        raise failure  # outside the handler: the error's text and traceback may hold a token


def _given(asked: _Asked) -> Keys | None:
    source = asked.source
    if not source.access_key or not source.secret_key:
        return None
    return _static(source.access_key, source.secret_key, source.session_token, "the settings")


def _environment(asked: _Asked) -> Keys | None:
    access, secret = asked.environ.get("AWS_ACCESS_KEY_ID"), asked.environ.get("AWS_SECRET_ACCESS_KEY")
    if not access and not secret:
        return None
    if not access or not secret:
        raise ConfigurationError("only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set")
    token = asked.environ.get("AWS_SESSION_TOKEN")
    return _static(SecretStr(access), SecretStr(secret), SecretStr(token) if token else None, "AWS_ACCESS_KEY_ID")


def _static(access: SecretStr, secret: SecretStr, token: SecretStr | None, place: str) -> Keys:
    provider = StaticProvider(
        access.get_secret_value(), secret.get_secret_value(), token.get_secret_value() if token else None
    )
    return Keys(provider=provider, place=f"keys from {place}")


def _web_identity(asked: _Asked) -> Keys | None:
    file, role = asked.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"), asked.environ.get("AWS_ROLE_ARN")
    if not file:
        return None
    region = asked.region or asked.environ.get("AWS_REGION") or asked.environ.get("AWS_DEFAULT_REGION")
    regional = f"https://sts.{region}.amazonaws.com{'.cn' if region and region.startswith('cn-') else ''}"
    endpoint = asked.source.sts_endpoint or (regional if region else "https://sts.amazonaws.com")
    provider = WebIdentityProvider(
        jwt_provider_func=lambda: {"access_token": _read_token(Path(file)), "expires_in": "0"},
        sts_endpoint=endpoint,
        role_arn=role,
        role_session_name=asked.environ.get("AWS_ROLE_SESSION_NAME") or "pgproof",
        http_client=make_client(Patience(), ca_file=asked.source.ca_file, environ=asked.environ),
    )
    failed = _failures("the web identity token", f"the token service {endpoint}")
    return Keys(provider=_Fetched(provider, failed), place=f"web identity {role or file}")


def _read_token(file: Path) -> str:
    """Read anew each time: whoever issues the token replaces it before it expires.

    It travels in an address, which urllib3 tells in its events when it tries again.
    """
    try:
        token = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigurationError(f"the token in {file} (AWS_WEB_IDENTITY_TOKEN_FILE) cannot be read") from error
    hide([token])
    return token


def _container(asked: _Asked) -> Keys | None:
    names = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if not any(asked.environ.get(name) for name in names):
        return None
    failed = _failures("the container's role", "the container's credentials service")
    return Keys(provider=_Fetched(_role_server(asked, None), failed), place="container role")


class _Profile(Provider):
    """The keys of a profile in the credentials file, read anew each time: tools that renew keys replace the file.

    The SDK's own provider takes a `%` in a key for a reference to another value.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name

    def get(self, option: str) -> str | None:
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read(self._path, encoding="utf-8")
        except (configparser.Error, OSError, UnicodeDecodeError):
            raise ConfigurationError(f"{self._path} is not a readable AWS credentials file") from None
        return parser.get(self._name, option, fallback=None)

    def retrieve(self) -> Credentials:
        access, secret = self.get("aws_access_key_id"), self.get("aws_secret_access_key")
        if not access or not secret:
            raise ConfigurationError(f"the profile {self._name} of {self._path} has only half a pair of keys")
        return Credentials(access, secret, self.get("aws_session_token"))


def _file(asked: _Asked) -> Keys | None:
    path = _credentials_file(asked.environ)
    name = asked.environ.get("AWS_PROFILE") or "default"
    profile = _Profile(path, name)
    return Keys(provider=profile, place=f"profile {name} of {path}") if profile.get("aws_access_key_id") else None


def _instance(asked: _Asked) -> Keys | None:
    if asked.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return None
    endpoint = asked.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT")
    served = "the instance's metadata service"

    failed = _failures("the instance's role", served)

    def never(error: Exception) -> PgproofError:
        """It was only the last place to look: who has set no keys need not know that there is such a service."""
        absent = isinstance(error, (HTTPError, OSError))
        return _nothing_found(asked, f"{served} does not answer" if absent else failed(error).message)

    endpoint = endpoint.rstrip("/") if endpoint else None
    provider = _Fetched(_role_server(asked, endpoint), failed, never if asked.source.mode == "auto" else None)
    return Keys(provider=provider, place="instance role")


_Finder = Callable[[_Asked], Keys | None]
_FINDERS: tuple[tuple[KeyMode, _Finder], ...] = (
    ("keys", _given),
    ("environment", _environment),
    ("web-identity", _web_identity),
    ("instance", _container),
    ("file", _file),
    ("instance", _instance),
)


def _role_server(asked: _Asked, endpoint: str | None) -> IamAwsProvider:
    http = make_client(_NEAR, ca_file=asked.source.ca_file, environ=asked.environ)
    provider = IamAwsProvider(custom_endpoint=endpoint, http_client=http)
    # It would prefer a web identity that the environment names, which the mode has ruled out.
    provider._identity_file = None  # noqa: SLF001 - there is no parameter for it
    return provider


def _credentials_file(environ: Environ) -> Path:
    named = environ.get("AWS_SHARED_CREDENTIALS_FILE")
    return Path(named) if named else Path(environ.get("HOME") or "~").expanduser() / ".aws" / "credentials"


def _failures(what: str, server: str) -> _Failed:
    """How a failure to get keys is told. Of the error's text only an HTTP status is safe to repeat."""

    def failed(error: Exception) -> PgproofError:
        found = _STATUS.search(str(error))
        if found and int(found[1]) < _SERVER_FAULT:
            return AccessDenied(f"{server} refuses {what} (HTTP {found[1]})", hint="check the role and whom it trusts")
        if found or isinstance(error, (HTTPError, OSError)):
            said = f"HTTP {found[1]}" if found else type(error).__name__
            return StoreUnreachable(f"{server} does not hand out keys for {what} ({said})")
        return ConfigurationError(f"{server} has no usable keys for {what}")

    return failed


def _nothing_found(asked: _Asked, instance: str) -> ConfigurationError:
    """Nothing in any place; `instance` is what became of the last one."""
    file = _credentials_file(asked.environ)
    return ConfigurationError(
        "no keys for S3 are found",
        detail=f"looked for {_LOOKED_FOR}, {file}, and an instance's role ({instance})",
        hint="set PGPROOF_S3_ACCESS_KEY and PGPROOF_S3_SECRET_KEY, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
        f"or write keys into {file}; for a public bucket PGPROOF_S3_CREDENTIALS=anonymous",
    )
