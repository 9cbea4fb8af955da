"""Addresses of databases: everything libpq understands, changed by functions, shown without secrets.

Owns how a child process learns an address: its password goes by environment, never by argv.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from backup.errors import ConfigurationError

_NEON_POOLER = re.compile(r"^(ep-[a-z0-9-]+?)-pooler(\.)", re.IGNORECASE)
_PASSED_ON = re.compile(r"PG[A-Z0-9]+|HOME|PATH|TZ|SSL_CERT_FILE|SSL_CERT_DIR|KRB5\w*|LD_LIBRARY_PATH|NSS_WRAPPER_\w+")
_HIDDEN = ("sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")
_OPTION_ESCAPE = re.compile(r"([ \\])")
_ESCAPED = r"\\\1"
_KEEPALIVES = {"keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "6"}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is, as libpq's keywords. What is not said in it, libpq takes from PG* variables and files."""

    keywords: Mapping[str, str] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read a URL (`postgresql://…`) or keywords (`host=… dbname=…`); empty where PG* variables say it all.

        Raises:
            ConfigurationError: libpq cannot read it; the text itself is not shown, it may hold a password.
        """
        try:
            keywords = conninfo_to_dict(text)
        except ProgrammingError as error:
            raise ConfigurationError(
                "the database address cannot be read",
                detail=_without(str(error), text).strip(),
                hint="give postgresql://user@host:5432/database, or libpq keywords such as host=… dbname=…",
            ) from error
        return cls({key: str(value) for key, value in keywords.items() if value is not None})

    def direct(self) -> Address:
        """The address with Neon's pooler taken out of the host name, because pg_dump needs a session."""
        host = self.keywords.get("host", "")
        return self.with_keywords(host=_NEON_POOLER.sub(r"\1\2", host)) if _NEON_POOLER.match(host) else self

    def with_keywords(self, **changes: str | None) -> Address:
        """A changed copy; None takes a keyword out."""
        merged = {**self.keywords, **changes}
        return Address({key: value for key, value in merged.items() if value is not None})

    def with_database(self, name: str) -> Address:
        """The same server and user, another database."""
        return self.with_keywords(dbname=name)

    def with_options(self, settings: Mapping[str, str], environ: Mapping[str, str]) -> Address:
        """The same, with server settings for every session, behind those of the address or of PGOPTIONS."""
        asked = self.keywords.get("options", environ.get("PGOPTIONS", ""))
        added = (f"-c {name}={_OPTION_ESCAPE.sub(_ESCAPED, value)}" for name, value in settings.items())
        return self.with_keywords(options=" ".join([asked, *added]).strip())

    def pinned(self, *, host: str, hostaddr: str, port: int, user: str, database: str, connect_timeout: int) -> Address:
        """The one server behind it that a connection reached, so that child processes reach the same one.

        An address may name several hosts, and one name may mean several servers: a snapshot is only on one.
        `connect_timeout` (seconds) holds where the address does not say another, as for our own connections.
        """
        return self.with_keywords(
            host=host,
            hostaddr=hostaddr or None,
            port=str(port),
            user=user,
            dbname=database,
            load_balance_hosts=None,
            connect_timeout=self.keywords.get("connect_timeout", str(connect_timeout)),
        )

    @property
    def database(self) -> str | None:
        """The database's name, where the address says it."""
        return self.keywords.get("dbname")

    def conninfo(self, **defaults: str) -> str:
        """For our own connections: all of it, with keepalives and `defaults` where nothing else is said."""
        return make_conninfo("", **{**_KEEPALIVES, **defaults, **self.keywords})

    def refuse_hidden_secrets(self) -> None:
        """Find what no child can be told.

        Raises:
            ConfigurationError: it holds a secret that libpq takes from nowhere but the address.
        """
        for secret in _HIDDEN:
            if secret in self.keywords:
                raise ConfigurationError(
                    f"{secret} cannot be given to pg_dump without showing it to every user of the machine",
                    hint="keep it in a service file (PGSERVICEFILE) and name that in the address: service=…",
                )

    def argument(self) -> str:
        """For a child's argv: all but the password. Raises ConfigurationError as `refuse_hidden_secrets`."""
        self.refuse_hidden_secrets()
        public = {key: value for key, value in self.keywords.items() if key != "password"}
        return make_conninfo("", **{**_KEEPALIVES, **public})

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """For a child: the libpq variables of `environ` and little else, our password, messages in English."""
        kept = {name: value for name, value in environ.items() if _PASSED_ON.fullmatch(name)}
        kept |= {"LC_ALL": "C.UTF-8", "LANGUAGE": "C"}
        if "password" in self.keywords:
            kept["PGPASSWORD"] = self.keywords["password"]
        return kept

    def __str__(self) -> str:
        """For people: `user@host:port/database`, as far as the address says it."""
        get = self.keywords.get
        if "service" in self.keywords and "host" not in self.keywords:
            return f"service {get('service')}" + (f", database {get('dbname')}" if get("dbname") else "")
        user = f"{get('user')}@" if get("user") else ""
        port = f":{get('port')}" if get("port") else ""
        place = f"{user}{get('host') or get('hostaddr') or 'local socket'}{port}"
        return f"{place}/{get('dbname')}" if get("dbname") else place


def _without(message: str, secret: str) -> str:
    """`message` with no word of `secret` in it: libpq quotes what it cannot read."""
    for word in sorted({secret, *re.split(r"[\s@/:=]+", secret)}, key=len, reverse=True):
        if len(word) > 3:  # noqa: PLR2004 a shorter one would eat half the message
            message = message.replace(word, "…")
    return message
