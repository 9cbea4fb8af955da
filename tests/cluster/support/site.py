"""What a scenario works on: a database with rows, a bucket, and a release that backs the one up into the other.

Owns the rows and the names: all that belongs to one scenario bears one short name, so that scenarios share servers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.support.kubectl import Cluster, Finished
from tests.cluster.support.release import CHART, Release, secrets_of, values_of
from tests.cluster.support.servers import Bucket, Servers

ROWS = (
    "CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL)",
    "INSERT INTO items VALUES (1, 'bread'), (2, 'Käse'), (3, 'salt')",
    "CREATE TABLE orders (id int PRIMARY KEY, item int NOT NULL REFERENCES items)",
    "INSERT INTO orders SELECT n, n % 3 + 1 FROM generate_series(1, 100) n",
)
ITEMS = ["1|bread", "2|Käse", "3|salt"]
"""What `items` says."""

BULK = ("CREATE TABLE bulk AS SELECT n, md5(n::text) || md5((-n)::text) AS noise FROM generate_series(1, 700000) n",)
"""Some 50 MB of which little can be compressed away: more than passes a line that is held (witness.py)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A scenario's own database, bucket and Secrets; `release` bears the same name."""

    name: str
    cluster: Cluster
    servers: Servers
    image: str
    url: str

    @property
    def release(self) -> Release:
        """The release, installed or not."""
        return Release(name=self.name, cluster=self.cluster)

    def values(self, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - YAML
        """The least values, and more."""
        return values_of(self.name, self.image, f"s3://{self.name}", **more)

    def install(self, *, chart: Path = CHART, **more: Any) -> Release:  # noqa: ANN401 - YAML
        """helm install, with the least values and more."""
        self.install_as(self.name, self.values(**more), chart=chart)
        return self.release

    def install_as(self, name: str, values: Mapping[str, Any], *, chart: Path = CHART) -> None:
        """helm install under any name, with these values alone."""
        self.helm("install", name, str(chart), "-f", "-", stdin=yaml.safe_dump(dict(values)))

    def helm(self, *arguments: str, stdin: str = "", check: bool = True) -> Finished:
        """Run helm in the namespace."""
        return self.cluster.helm(*arguments, stdin=stdin, check=check)

    def set_secrets(self, url: str | None = None, **others: str) -> None:
        """Make the release's Secrets, or change them."""
        self.cluster.apply(*secrets_of(self.name, url or self.url, **others))

    def use_line(self) -> None:
        """From now on the release reaches its database by the line that can be held."""
        self.set_secrets(self.url.replace("@postgres:", "@witness:"))

    def sql(self, *statements: str, database: str | None = None) -> list[str]:
        """Statements in the site's database or another one, as its owner."""
        return self.servers.sql(database or self.name, f"SET ROLE {self.name}", *statements)

    def items(self, database: str | None = None) -> list[str]:
        """The rows of `items`."""
        return self.sql("SELECT id, name FROM items ORDER BY id", database=database)

    def bucket(self) -> Bucket:
        """What is in the bucket."""
        return self.servers.bucket(self.name)

    def backups(self, target: str | None = None) -> list[str]:
        """The backups in the bucket, the oldest first."""
        return self.bucket().backups(target or self.name)

    def remove(self) -> None:
        """Take away all that bears the name; what a failed scenario left too."""
        self.helm("uninstall", self.name, "--ignore-not-found", check=False)
        kinds = "cronjobs,jobs,pods,configmaps,secrets,persistentvolumeclaims,events"
        self.cluster.kubectl("delete", kinds, "-l", f"app.kubernetes.io/instance={self.name}", "--wait=false")
        names = [f"secret/{self.name}-{kind}" for kind in ("database", "store", "webhook")]
        self.cluster.kubectl("delete", "--ignore-not-found", *names)


def open_site(name: str, servers: Servers, image: str) -> Site:
    """Make a site: database, rows, bucket, Secrets."""
    url = servers.make_database(name, *ROWS)
    servers.make_bucket(name)
    site = Site(name=name, cluster=servers.cluster, servers=servers, image=image, url=url)
    site.set_secrets()
    return site
