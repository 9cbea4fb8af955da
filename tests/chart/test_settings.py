"""What the chart tells pgproof, pgproof understands."""

from __future__ import annotations

import base64
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from backup.cli.commands import option_variables
from backup.settings import Loaded, read
from backup.settings.leaves import leaves
from backup.stream.age import Identity
from tests.chart.render import CI_FILES, Rendered, minimal, pod_specs, render, render_file

IDENTITY = Identity.new()
SECRETS = {
    "PGPROOF_DATABASE_URL": "postgresql://backup:secret@db.example.com/shop",
    "PGPROOF_RESTORE_TARGET_URL": "postgresql://admin:secret@other.example.com/shop",
    "PGPROOF_SYNC_URL": "postgresql://sync:secret@reports.example.com/shop",
    "PGPROOF_S3_ACCESS_KEY": "key",
    "PGPROOF_S3_SECRET_KEY": "secret",
    "PGPROOF_IDENTITY": IDENTITY.secret,
    "PGPROOF_IDENTITY_PASSPHRASE": "a horse",
    "PGPROOF_NOTIFY": "mailto://me:secret@mail.example.com",
    "PGPROOF_PING_URL": "https://ping.example.com/P1ng",
    "PGPROOF_WEBHOOK_URL": "https://hooks.example.com/pgproof",
    "PGPROOF_PUSHGATEWAY": "https://figures:secret@pushgateway.example.com",
    "PGPROOF_API_TOKENS": "a-token-of-the-service=read+data,another-of-the-service",
    "PGPROOF_WEBHOOK_SECRET": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz",
}
"""What stands in a Secret that is not the chart's."""


KEYS = "/etc/pgproof-stores/"
"""Where the Secrets of more stores are mounted."""


def environment(rendered: Rendered, pod: dict[str, Any]) -> dict[str, str]:
    """The variables of a pod's container, its Secrets looked up."""
    found = {}
    for each in pod["containers"][0]["env"]:
        reference = each.get("valueFrom", {}).get("secretKeyRef")
        if not reference:
            found[each["name"]] = each["value"]
        elif secret := rendered.of("Secret").get(reference["name"]):
            if reference["key"] in secret["data"]:
                found[each["name"]] = base64.b64decode(secret["data"][reference["key"]]).decode()
        else:
            found[each["name"]] = SECRETS[each["name"]]
    return found


def settings(rendered: Rendered, pod: dict[str, Any], folder: Path) -> Loaded:
    """The settings as pgproof reads them in that pod."""
    name = next(each["configMap"]["name"] for each in pod["volumes"] if each["name"] == "config")
    file = folder / "config.yaml"
    text = rendered.of("ConfigMap")[name]["data"]["config.yaml"]
    for mount in pod["containers"][0]["volumeMounts"]:
        if mount["mountPath"].startswith(KEYS):
            keys = folder / mount["name"]
            keys.mkdir(exist_ok=True)
            for each in ("access-key", "secret-key"):
                (keys / each).write_text(f"{each} of {mount['name']}")
            text = text.replace(f"{mount['mountPath']}/", f"{keys}/")
    file.write_text(text)
    return read({}, environment(rendered, pod), file=file, more_known=option_variables)


@pytest.mark.parametrize("file", CI_FILES, ids=lambda file: file.stem)
def test_pgproof_takes_the_configuration_and_the_environment_of_every_pod(file: Path, tmp_path: Path) -> None:
    rendered = render_file(file)
    for name, pod in pod_specs(rendered):
        loaded = settings(rendered, pod, tmp_path)
        assert loaded.warnings == (), name
        if not (name.endswith("-watch") or (loaded.settings.target and name.endswith(("-drill", "-check")))):
            assert loaded.settings.database.conninfo.startswith("postgresql://"), name
        assert all(store.url for store in loaded.settings.chosen_stores()), name


def test_what_the_values_say_arrives(tmp_path: Path) -> None:
    config = {
        "dump": {"volume_size": 1073741824, "exclude_tables": ["a"], "labels": {"when": "on"}},
        "log": {"format": "json"},
    }
    values = {
        "databases": {"crm": {"existingSecret": "a", "config": {"dump": {"exclude_tables": ["b"]}}}},
        "store": {
            "url": "s3://backups/prod",
            "endpoint": "http://minio:9000",
            "region": "here",
            "existingSecret": "keys",
        },
        "webhook": {"existingSecret": "hook"},
        "events": {"enabled": True},
        "config": config,
    }
    rendered = render(values)
    pods = dict(pod_specs(rendered))
    for component in ("backup", "restore", "drill"):
        found = settings(rendered, pods[f"CronJob mydb-crm-{component}"], tmp_path).settings
        assert (found.target, found.dump.volume_size, found.dump.exclude_tables) == ("crm", 1 << 30, ("b",))
        assert (found.dump.labels, found.log.format) == ({"when": "on"}, "json")
        store = found.store()
        assert (store.url, store.endpoint, store.region) == ("s3://backups/prod", "http://minio:9000", "here")
        assert store.access_key
        assert store.access_key.get_secret_value() == "key"
        assert found.kubernetes.cronjob == f"mydb-crm-{component}"
        assert found.notify.webhook.url
    tested = settings(rendered, pods["Job mydb-crm-test"], tmp_path).settings
    assert tested.notify.webhook.url is None
    assert tested.kubernetes.cronjob is None


def test_more_stores_arrive_with_keys_and_rules_of_their_own(tmp_path: Path) -> None:
    near = {"url": "s3://near/prod", "existingSecret": "near"}
    far = {
        "url": "s3://far/prod",
        "endpoint": "https://s3.amazonaws.com",
        "lock": "governance",
        "existingSecret": "far",
    }
    rendered = render(
        minimal(
            store={"url": "s3://main/prod", "endpoint": "http://minio:9000", "existingSecret": "bucket-keys"},
            moreStores={"near": near, "far": {**far, "retention": "keep-within=7d,daily=30"}},
            storesRequired=2,
            retention="keep-within=48h",
            guard={"shrink": 80, "ignore": ["public.jobs"]},
        )
    )
    for name, pod in pod_specs(rendered):
        found = settings(rendered, pod, tmp_path).settings
        stores = found.chosen_stores()
        assert [each.url for each in stores] == ["s3://main/prod", "s3://far/prod", "s3://near/prod"], name
        keys = [each.access_key.get_secret_value() for each in stores if each.access_key]
        assert keys == ["key", "access-key of store-far", "access-key of store-near"]
        assert [each.endpoint for each in stores] == [
            "http://minio:9000",
            "https://s3.amazonaws.com",
            "http://minio:9000",
        ]
        assert [each.credentials for each in stores] == ["auto", "keys", "keys"]
        assert [each.lock for each in stores] == ["off", "governance", "off"]
        assert [found.rules(each).daily for each in stores] == [0, 30, 0]
        assert [found.rules(each).keep_within for each in stores] == [
            timedelta(days=2),
            timedelta(days=7),
            timedelta(days=2),
        ]
        assert (found.stores_required, found.guard.shrink, found.guard.ignore) == (2, 80, ("public.jobs",))


def test_a_database_may_have_a_retention_and_a_guard_of_its_own(tmp_path: Path) -> None:
    own = {"retention": "off", "guard": {"shrink": 100}}
    databases = {"crm": {"existingSecret": "a", **own}, "shop": {"existingSecret": "b"}}
    rendered = render({"databases": databases, "store": {"url": "s3://backups/prod"}, "retention": "daily=3"})
    pods = dict(pod_specs(rendered))
    for name, is_off in (("crm", True), ("shop", False)):
        found = settings(rendered, pods[f"CronJob mydb-{name}-backup"], tmp_path).settings
        assert found.rules(found.store()).off is is_off
        assert found.guard.shrink == (100 if is_off else 50)


def test_what_backs_up_has_public_keys_alone_and_what_reads_has_the_identity(tmp_path: Path) -> None:
    identity = {"existingSecret": "key", "passphraseKey": "passphrase"}
    rendered = render(minimal(encryption={"to": [IDENTITY.public], "identity": identity}, drill={"enabled": True}))
    for name, pod in pod_specs(rendered):
        found = settings(rendered, pod, tmp_path).settings.encryption
        assert found.to == (IDENTITY.public,), name
        reads = name.endswith(("-restore", "-drill"))
        assert (found.identity is not None, found.identity_passphrase is not None) == (reads, reads), name
        assert ("name: key" in str(pod).replace("'", "")) is reads, name


def test_chat_and_mail_are_told_of_everything_and_the_ping_of_backups_alone(tmp_path: Path) -> None:
    rendered = render(minimal(notify={"existingSecret": "alerts"}))
    for name, pod in pod_specs(rendered):
        found = settings(rendered, pod, tmp_path).settings.notify
        assert bool(found.addresses) is not name.endswith("-test"), name
        assert bool(found.ping.url) is name.endswith("-backup"), name


def test_every_variable_of_the_templates_is_known() -> None:
    known = {each.env.name for each in leaves()} | option_variables() | {"PGPROOF_CONFIG", "PGPROOF_TERMINATION_LOG"}
    for file in CI_FILES:
        for name, pod in pod_specs(render_file(file)):
            ours = {each["name"] for each in pod["containers"][0]["env"] if each["name"].startswith("PGPROOF_")}
            assert ours <= known, name


def test_the_volume_is_the_store_without_saying_it_twice(tmp_path: Path) -> None:
    rendered = render({"database": {"existingSecret": "a"}, "store": {"persistence": {"enabled": True}}})
    for _, pod in pod_specs(rendered):
        assert settings(rendered, pod, tmp_path).settings.store().directory == Path("/backups")
        assert "/backups" in {each["mountPath"] for each in pod["containers"][0]["volumeMounts"]}


def test_a_folder_of_the_volume_may_be_the_store(tmp_path: Path) -> None:
    persistence = {"enabled": True, "mountPath": "/srv"}
    rendered = render(minimal(store={"url": "/srv/prod", "persistence": persistence}))
    pod = dict(pod_specs(rendered))["CronJob mydb-backup"]
    assert settings(rendered, pod, tmp_path).settings.store().directory == Path("/srv/prod")
