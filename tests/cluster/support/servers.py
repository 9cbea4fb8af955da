"""The servers of a namespace: PostgreSQL, a real S3 server, and the witness (servers/witness.py).

Owns their start, databases, buckets, and what they say. All by way of kubectl: it works with any cluster.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from tests.cluster.support.kubectl import Cluster

_MANIFEST = Path(__file__).parents[1] / "servers" / "servers.yaml"
_PYTHON = "/opt/pgproof/bin/python"

PASSWORD = "superuser-5432"
ACCESS_KEY = "cluster-access"
SECRET_KEY = "cluster-secret-8333"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """What is in a bucket: sizes by key, and the keys of unfinished uploads."""

    objects: dict[str, int]
    unfinished: list[str]

    def backups(self, target: str) -> list[str]:
        """The ids of a target that have a manifest, the oldest first."""
        parts = [key.split("/") for key in self.objects if key.startswith(f"{target}/")]
        return sorted(names[1] for names in parts if names[2:] == ["manifest.json"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Running servers of a namespace."""

    cluster: Cluster

    @staticmethod
    def start(cluster: Cluster, image: str) -> Servers:
        """Start them and wait until they answer."""
        text = Template(_MANIFEST.read_text(encoding="utf-8")).substitute(
            image=image, password=PASSWORD, access_key=ACCESS_KEY, secret_key=SECRET_KEY
        )
        cluster.apply(text)
        for name in ("postgres", "s3", "witness"):
            cluster.kubectl("rollout", "status", f"deployment/{name}", "--timeout=90s")
        return Servers(cluster=cluster)

    # ---- PostgreSQL

    def sql(self, database: str, *statements: str) -> list[str]:
        """Carry out statements as the superuser, each on its own; the rows of all, columns separated by |."""
        command = ["psql", "-X", "-At", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h", "127.0.0.1", "-d", database]
        words = [word for statement in statements for word in ("-c", statement)]
        done = self.cluster.kubectl("exec", "deployment/postgres", "--", *command, "-q", *words)
        return done.stdout.splitlines()

    def make_database(self, name: str, *statements: str) -> str:
        """A database and a role of its name that owns it and may make others; the address of both."""
        password = f"secret-of-{name}"
        role = f"CREATE ROLE {name} LOGIN CREATEDB PASSWORD '{password}'"
        self.sql("postgres", role, f"CREATE DATABASE {name} OWNER {name}")
        if statements:
            self.sql(name, f"SET ROLE {name}", *statements)
        return f"postgresql://{name}:{password}@postgres:5432/{name}"

    def databases(self) -> list[str]:
        """Their names."""
        return self.sql("postgres", "SELECT datname FROM pg_database ORDER BY 1")

    def user_id(self, name: str) -> int:
        """The number of a user in the servers' image."""
        return int(self.cluster.kubectl("exec", "deployment/postgres", "--", "id", "-u", name).stdout)

    # ---- S3

    def make_bucket(self, name: str, *, server: str = "s3") -> str:
        """A new bucket; its address."""
        self._bucket("make", name, server=server)
        return f"s3://{name}"

    def bucket(self, name: str, *, server: str = "s3") -> Bucket:
        """What is in it."""
        return Bucket(**self._bucket("holds", name, server=server))

    def manifest(self, bucket: str, target: str, backup: str) -> dict[str, Any]:
        """The manifest of a backup."""
        found: dict[str, Any] = json.loads(self._bucket("read", bucket, f"{target}/{backup}/manifest.json"))
        return found

    def drills(self, bucket: str, target: str, backup: str) -> list[dict[str, Any]]:
        """The results of its drills, the oldest first."""
        keys = sorted(key for key in self.bucket(bucket).objects if key.startswith(f"{target}/{backup}/drills/"))
        return [json.loads(self._bucket("read", bucket, key)) for key in keys]

    def damage(self, bucket: str, key: str) -> None:
        """Change one byte in the middle of an object."""
        self._bucket("damage", bucket, key)

    def _bucket(self, *arguments: str, server: str = "s3") -> Any:  # noqa: ANN401 - JSON
        command = ["env", f"S3_ENDPOINT={server}:8333", _PYTHON, "/servers/bucket.py", *arguments]
        return json.loads(self.cluster.kubectl("exec", "deployment/witness", "--", *command).stdout)

    # ---- the witness

    def hooks(self, name: str) -> list[dict[str, Any]]:
        """The webhooks that came to http://witness:8080/hooks/NAME: `headers` and `body`."""
        return list(self.cluster.service("witness:8080", f"/hooks/{name}"))

    def tokens(self) -> list[dict[str, str]]:
        """What the token service was shown."""
        return list(self.cluster.service("witness:8080", "/tokens"))

    def hold_line(self) -> None:
        """From now on witness:5432, which leads to PostgreSQL, stops in the middle of long answers."""
        self.cluster.service("witness:8080", "/line/hold")

    def free_line(self) -> None:
        """It no longer does, nor for those that wait."""
        self.cluster.service("witness:8080", "/line/free")


def is_signed(hook: dict[str, Any], secret: str) -> bool:
    """Whether a webhook bears the signature that Standard Webhooks describes, reckoned here anew.

    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md: HMAC-SHA256 of
    id.timestamp.body with the decoded secret, base64, after `v1,`; several are separated by spaces.
    """
    headers = hook["headers"]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{hook['body']}".encode()
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(expected, each) for each in headers["webhook-signature"].split())
