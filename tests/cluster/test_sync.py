"""Syncs in the cluster: a CronJob brings chosen rows into a second database, and a failed one is not quiet."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cluster.support.kubectl import wait_until
from tests.cluster.support.release import NEVER, WEBHOOK_SECRET, Release
from tests.cluster.support.servers import is_signed
from tests.cluster.support.site import ITEMS, Site

SECRETS = ("h4sh-of-a-password", "t0ken-of-a-session")
USERS = (
    "CREATE TABLE users (id int PRIMARY KEY, email text NOT NULL, password_hash text, session_token text)",
    f"INSERT INTO users SELECT n, n || '@example.com', '{SECRETS[0]}', '{SECRETS[1]}' FROM generate_series(1, 50) n",
    "CREATE TABLE internal (id int PRIMARY KEY)",
)
ROWS = {"tables": {"users": {"exclude": ["password_hash"]}, "items": None, "orders": {"where": "id <= 60"}}}


class Second:
    """The second database of a site, and the Secret with its address."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.name = f"{site.name}_second"
        self.secret = f"{site.name}-second"
        self.password = f"secret-of-{self.name}"
        self._url = site.servers.make_database(self.name)
        metadata = {"name": self.secret, "labels": {"app.kubernetes.io/instance": site.name}}
        site.cluster.apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"uri": self._url}}
        )

    def sql(self, *statements: str) -> list[str]:
        """Statements as its owner, which knows nothing of the first."""
        return self._site.servers.sql(self.name, f"SET ROLE {self.name}", *statements)

    def columns(self, table: str) -> list[str]:
        return self.sql(
            f"SELECT attname FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 ORDER BY attnum"
        )

    def versions(self) -> list[str]:
        """Which transaction wrote each row."""
        return self.sql(*(f"SELECT '{each}', id, xmin FROM {each} ORDER BY id" for each in ROWS["tables"]))

    @property
    def values(self) -> dict[str, Any]:
        return {"existingSecret": self.secret, "secretKey": "uri"}


@pytest.fixture
def second(site: Site) -> Second:
    site.sql(*USERS)
    return Second(site)


def values(site: Site, second: Second, **sync: object) -> dict[str, Any]:
    return site.values(
        database={"target": site.name},
        sync={"enabled": True, "schedule": NEVER, **second.values, **sync},
        config={"rows": ROWS},
        events={"enabled": True},
    )


def told(site: Site) -> list[dict[str, Any]]:
    hooks = site.servers.hooks(site.name)
    assert all(is_signed(hook, WEBHOOK_SECRET) for hook in hooks)
    return [json.loads(hook["body"]) for hook in hooks]


def reasons(site: Site) -> dict[str, str]:
    """What pgproof says on the CronJob, by reason."""
    cronjob = site.cluster.get("cronjob", f"{site.name}-sync")
    of_it = f"involvedObject.uid={cronjob['metadata']['uid']}"
    events = site.cluster.items("events", "--field-selector", of_it)
    return {each["reason"]: each["type"] for each in events if each["source"].get("component") == "pgproof"}


def by_itself(release: Release) -> str:
    """The first Job that the CronJob made."""
    made = release.cluster.items("jobs", "-l", f"app.kubernetes.io/instance={release.name}")
    names = [each["metadata"]["name"] for each in made]
    return next((name for name in names if name.startswith(f"{release.name}-sync-")), "")


@pytest.mark.timeout(420)
def test_the_cronjob_brings_the_chosen_rows_and_a_second_run_changes_nothing(site: Site, second: Second) -> None:
    """Slow: the shortest schedule of Kubernetes is a minute."""
    site.install_as(site.name, values(site, second, schedule="* * * * *"))
    release = site.release
    first = wait_until(lambda: by_itself(release), "a sync by itself", limit=90)
    release.upgrade(values(site, second))
    outcome = release.finish(first)
    assert (outcome.succeeded, outcome.code, outcome.pods) == (True, 0, 1), outcome
    assert "113 inserted" in outcome.message
    (pod,) = release.pods(first)
    assert pod["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"]

    assert second.sql("SELECT id, name FROM items ORDER BY id") == ITEMS
    for query in ("SELECT id, email FROM users ORDER BY id", "SELECT id, item FROM orders WHERE id <= 60 ORDER BY id"):
        assert second.sql(query) == site.sql(query)
    assert second.sql("SELECT count(*) FROM orders") == ["60"]
    assert second.columns("users") == ["id", "email"]
    assert second.sql("SELECT to_regclass('internal') IS NULL") == ["t"]
    assert not any(secret in line for secret in SECRETS for line in second.sql("SELECT u::text FROM users AS u"))

    before = second.versions()
    again = release.run(f"{site.name}-sync", f"{site.name}-again")
    assert again.succeeded, again
    assert "nothing has changed" in again.log
    assert second.versions() == before

    site.sql("UPDATE users SET email = 'anna@example.com' WHERE id = 7", "INSERT INTO items VALUES (4, 'later')")
    third = release.run(f"{site.name}-sync", f"{site.name}-third")
    assert third.succeeded, third
    assert second.sql("SELECT email FROM users WHERE id = 7") == ["anna@example.com"]
    assert second.sql("SELECT id, name FROM items ORDER BY id") == [*ITEMS, "4|later"]
    changed = set(second.versions()) - set(before)
    assert {line.rsplit("|", 1)[0] for line in changed} == {"users|7", "items|4"}
    assert reasons(site) == {"SyncSucceeded": "Normal"}
    syncs = [event["data"]["sync"] for event in told(site)]
    assert [(each["inserted"], each["updated"]) for each in syncs[-3:]] == [(113, 0), (0, 0), (1, 1)]


def test_the_address_of_the_second_database_is_in_its_secret_alone(site: Site, second: Second) -> None:
    site.install_as(site.name, values(site, second))
    outcome = site.release.run(f"{site.name}-sync", f"{site.name}-rows")
    assert outcome.succeeded, outcome
    for kind in ("configmaps", "cronjobs", "jobs", "pods", "events"):
        found = json.dumps(site.cluster.items(kind))
        assert second.password not in found, kind
    assert second.name not in json.dumps(site.cluster.items("configmaps"))
    assert second.password not in outcome.log + outcome.message + json.dumps(told(site))


def test_a_sync_that_fails_ends_at_once_changes_nothing_and_is_told(site: Site, second: Second) -> None:
    second.sql("CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL CHECK (name <> 'salt'))")
    site.install_as(site.name, values(site, second))
    outcome = site.release.run(f"{site.name}-sync", f"{site.name}-fails")
    assert (outcome.succeeded, outcome.code, outcome.pods) == (False, 8, 1), outcome
    assert outcome.conditions["Failed"] == "PodFailurePolicy"
    assert "the second database does not take the rows" in outcome.message
    assert second.sql("SELECT count(*) FROM items", "SELECT to_regclass('users') IS NULL") == ["0", "t"]
    (event,) = told(site)
    assert (event["type"], event["data"]["error"]["exit_code"]) == ("sync.failed", 8)
    assert "salt" not in json.dumps(event)
    assert reasons(site) == {"SyncFailed": "Warning"}
    assert site.items() == ITEMS
