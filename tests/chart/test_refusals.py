"""A mistake in the values fails the installation, and says what to write instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from backup.settings.leaves import leaves
from tests.chart.render import CI_FILES, JOB_ONLY, RELEASE, helm, minimal, render
from tests.chart.values import CHART, Value, read_values

LEAVES = [value for value in read_values().values() if value.is_leaf]
S3 = {"url": "s3://backups/prod"}
SERVE = {"enabled": True, "tokens": {"existingSecret": "tokens"}}
SHOP = {"existingSecret": "shop"}


@pytest.mark.parametrize("file", [each for each in CI_FILES if each != JOB_ONLY], ids=lambda file: file.stem)
def test_helm_finds_nothing_to_complain_of(file: Path) -> None:
    done = helm("lint", "--strict", "--quiet", str(CHART), "--values", str(file))
    assert (done.returncode, done.stdout.strip()) == (0, "")


@pytest.mark.parametrize(
    "wrong",
    [
        {"databse": {}},
        {"database": {"existingsecret": "shop"}},
        {"databases": {"shop": {"existingSecrets": "shop"}}},
        {"databases": {"shop": {"restore": {"request": {"inplace": "true"}}}}},
        {"databases": {"Shop": {"existingSecret": "shop"}}},
        {"databases": {"a" * 21: {"existingSecret": "shop"}}},
        {"store": {"url": "s4://backups"}},
        {"store": {"url": "backups"}},
        {"store": {"endpoint": "minio:9000"}},
        {"store": {"endpoint": "http://minio:9000/backups"}},
        {"store": {"persistence": {"size": "much"}}},
        {"schedule": "hourly"},
        {"schedule": "0 * * *"},
        {"timeZone": ""},
        {"backoffLimit": "3"},
        {"backoffLimit": -1},
        {"backoffLimit": 2.5},
        {"suspend": "yes"},
        {"activeDeadlineSeconds": "6h"},
        {"restore": {"request": {"dry-run": "maybe"}}},
        {"restore": {"request": {"backup": ""}}},
        {"restore": {"args": "--dry-run"}},
        {"drill": {"sample": 0}},
        {"drill": {"sample": 101}},
        {"drill": {"checks": ["SELECT true"]}},
        {"drill": {"storage": {"size": "all"}}},
        {"drill": {"postgres": {"resources": {}}}},
        {"databases": {"shop": {"drill": {"schedul": "@daily"}}}},
        {"sync": {"schedule": "hourly"}},
        {"sync": {"url": "postgresql://a:b@c/d"}},
        {"databases": {"shop": {"sync": {"enable": True}}}},
        {"moreStores": {"far": {"url": "s3://backups", "secretKey": "a"}}},
        {"moreStores": {"Far": S3}},
        {"store": {**S3, "lock": "on"}},
        {"retention": "a day"},
        {"storesRequired": 0},
        {"guard": {"shrink": 0}},
        {"image": {"digest": "0123"}},
        {"image": {"pullPolicy": "always"}},
        {"resources": {"limit": {}}},
        {"resources": {"limits": {"memory": ["1Gi"]}}},
        {"networkPolicy": {"database": {"ports": [70000]}}},
        {"networkPolicy": {"database": {"to": ["10.0.0.0/8"]}}},
        {"podLabels": {"a": 1}},
        {"fullnameOverride": "My_Name"},
        {"extraEnv": {"A": "b"}},
    ],
    ids=lambda wrong: yaml.safe_dump(wrong, default_flow_style=True).strip()[:60],
)
def test_the_schema_refuses(wrong: dict[str, Any]) -> None:
    rendered = render(minimal() | wrong)
    assert rendered.code != 0
    assert "don't meet the specifications of the schema" in rendered.stderr


@pytest.mark.parametrize("value", LEAVES, ids=lambda value: value.name)
def test_the_schema_refuses_another_type_for(value: Value) -> None:
    values: dict[str, Any] = minimal()
    branch = values
    for step in value.way[:-1]:
        branch = branch.setdefault(step, {})
    branch[value.way[-1]] = 1.5
    rendered = render(values)
    assert f"at '/{'/'.join(value.way)}': got number, want" in rendered.stderr


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"store": S3}, "no database is set: make a Secret with its address under the key url"),
        ({"databases": {"crm": {}}, "store": S3}, "name it in databases.crm.existingSecret"),
        ({"database": SHOP}, "no store is set: set store.url to s3://bucket/prefix, or store.persistence.enabled"),
        (minimal(databases={"crm": SHOP}), "database and databases are both set"),
        (
            minimal(database={**SHOP, "url": "postgresql://a/b"}),
            "database.existingSecret and database.url are both set",
        ),
        (
            {"databases": {"crm": {**SHOP, "url": "postgresql://a/b"}}, "store": S3},
            "databases.crm.existingSecret and databases.crm.url are both set",
        ),
        (
            {"databases": {"crm": SHOP, "old": {**SHOP, "target": "crm"}}, "store": S3},
            "databases.crm and databases.old have the same target crm",
        ),
        (
            minimal(config={"database": {"url": "postgresql://a:b@c/d"}}),
            "config.database.url would put a secret into a ConfigMap",
        ),
        (minimal(config={"database": {"url_file": "/run/a"}}), "config.database.url_file both name a database"),
        (minimal(config={"target": "shop"}), "write database.target instead"),
        (minimal(config={"encryption": {"to": ["age1"]}}), "config.encryption.to is set: write encryption.to instead"),
        (minimal(encryption={"to": ["age1"]}, drill={"enabled": True}), "a drill has no identity to open them"),
        (
            minimal(store={"url": "", "persistence": {"enabled": True}}, watch={"enabled": True}),
            "the watch would keep it from the backups",
        ),
        (
            minimal(serve={"enabled": True}),
            "no token, so nobody could be let in: make a Secret with them under the key tokens",
        ),
        (
            minimal(serve={**SERVE, "database": "shop"}),
            "serve.database is shop; it must be one of databases, of which there are none",
        ),
        (
            {"databases": {"crm": SHOP}, "store": S3, "serve": {**SERVE, "database": "shop"}},
            "serve.database is shop; it must be one of databases: crm",
        ),
        (
            minimal(store={"url": "", "persistence": {"enabled": True}}, serve=SERVE),
            "the service would keep it from the backups",
        ),
        (minimal(serve={"ingress": {"enabled": True}}), "there is nothing behind it: set serve.enabled"),
        (
            minimal(serve=SERVE, config={"serve": {"tls_cert": "/a", "tls_key": "/b"}}),
            "config.serve.tls_cert is set: name a Secret in serve.tls.existingSecret instead",
        ),
        (minimal(serve=SERVE, config={"serve": {"port": 9000}}), "config.serve.port is set: write serve.port instead"),
        (
            minimal(serve=SERVE, config={"serve": {"release": "other"}}),
            "config.serve.release is set: it is this release",
        ),
        (
            minimal(serve=SERVE, config={"serve": {"tokens_file": "/a"}}),
            "serve.tokens.existingSecret and config.serve.tokens_file both name tokens",
        ),
        (
            minimal(serve=SERVE, serviceAccount={"create": False}),
            "every pod of the namespace that names none could make Jobs",
        ),
        (
            minimal(serve=SERVE, fullnameOverride="9shop"),
            "the name of a Service begins with a letter, and 9shop does not: set fullnameOverride",
        ),
        (
            minimal(store={"persistence": {"enabled": True, "mountPath": "/etc/pgproof-tls"}}),
            "store.persistence.mountPath is /etc/pgproof-tls, where the chart mounts something else",
        ),
        (
            minimal(config={"serve": {"tokens": "a-token-of-the-service"}}),
            "config.serve.tokens would put a secret into a ConfigMap: name a Secret in serve.tokens.existingSecret",
        ),
        (minimal(config={"drill": {"sample": 5}}), "config.drill.sample is set: write drill.sample instead"),
        (minimal(config={"drill": {"folder": "/a"}}), "config.drill.folder is set: write drill.storage instead"),
        (minimal(drill={"storage": {"storageClass": "fast"}}), "drill.storage.volume is not"),
        (
            minimal(sync={"enabled": True}),
            "sync.enabled is set, and no second database: make a Secret with its address",
        ),
        (
            {"databases": {"crm": {**SHOP, "sync": {"enabled": True}}}, "store": S3},
            "name it in databases.crm.sync.existingSecret",
        ),
        (
            minimal(sync={"enabled": True, "existingSecret": "a"}, config={"sync": {"url_file": "/run/a"}}),
            "sync.existingSecret and config.sync.url_file both name a second database",
        ),
        (
            minimal(sync={"enabled": True, "existingSecret": "shop"}),
            "sync has the Secret and key of the database itself",
        ),
        (
            {
                "databases": {"crm": SHOP, "wiki": {"existingSecret": "wiki"}},
                "store": S3,
                "sync": {"enabled": True, "existingSecret": "second"},
            },
            "databases.crm.sync and databases.wiki.sync have the same Secret and key",
        ),
        (minimal(config={"sync": {"url": "postgresql://a:b@c/d"}}), "name a Secret in sync.existingSecret"),
        (minimal(config={"notify": {"to": "mailto://a"}}), "config.notify.to would put a secret into a ConfigMap"),
        (minimal(config={"notify": {"ping": {"url": "https://a"}}}), "name a Secret in notify.existingSecret"),
        (minimal(config={"notify": {"webhook": {"url": "https://a"}}}), "would put a secret into a ConfigMap"),
        (
            {"databases": {"crm": {**SHOP, "config": {"notify": {"webhook": {"secret": "a"}}}}}, "store": S3},
            "config.notify.webhook.secret would put a secret into a ConfigMap",
        ),
        (minimal(podLabels={"app.kubernetes.io/name": "a"}), "app.kubernetes.io/name is the chart's own"),
        (
            minimal(store={"persistence": {"enabled": True, "mountPath": "/tmp/"}}),
            "store.persistence.mountPath is /tmp, where the chart mounts something else",
        ),
        (
            minimal(store={**S3, "existingSecret": "a", "accessKey": "b"}),
            "the Secret is for use, the keys for trying out",
        ),
        (minimal(store={**S3, "accessKey": "b"}), "only one of store.accessKey and store.secretKey is set"),
        (minimal(store={**S3, "persistence": {"enabled": True}}), "use the bucket or the volume"),
        (minimal(store={"url": "/backups"}), "no volume is mounted there"),
        (
            minimal(store={"url": "/srv"}, extraVolumeMounts=[{"name": "a", "mountPath": "/srv2"}]),
            "no volume is mounted",
        ),
        (minimal(moreStores={"far": {"existingSecret": "a"}}), "moreStores.far.url is not set"),
        (minimal(moreStores={"far": S3}, config={"stores": {"far": S3}}), "config.stores.far are both set"),
        (
            {"database": SHOP, "config": {"stores": {"main": S3}}, "moreStores": {"far": S3}},
            "moreStores is set and store.url is not",
        ),
        (
            minimal(moreStores={"far": S3 | {"url": "s3://far"}}, storesRequired=3),
            "storesRequired is 3, but there are 2",
        ),
        (minimal(moreStores={"far": {"url": "/srv"}}), "moreStores.far.url is the folder /srv, but no volume"),
        (
            minimal(moreStores={"far": {"url": "s3://far", "config": {"secret_key": "a"}}}),
            "moreStores.far.config would put a secret into a ConfigMap",
        ),
        (minimal(config={"retention": {"daily": 3}}), "config.retention is set: write retention instead"),
        (minimal(config={"stores_required": 3}), "config.stores_required is set: write storesRequired instead"),
        (minimal(webhook={"existingSecret": "a", "url": "https://a"}), "webhook.existingSecret and webhook.url"),
        (minimal(config={"metrics": {"pushgateway": "http://a"}}), "name a Secret in pushgateway.existingSecret"),
        (minimal(pushgateway={"existingSecret": "a", "url": "http://b"}), "pushgateway.url are both set"),
        (minimal(watch={"serviceMonitor": {"enabled": True}}), "nothing to scrape: set watch.enabled"),
        (minimal(webhook={"secret": "a"}), "webhook.secret is set without webhook.url"),
        (
            {"databases": {"crm": SHOP, "shop": SHOP}, "store": S3, "restore": {"backup": "latest"}},
            "it must be one of crm, shop",
        ),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_values_that_do_not_fit_together_fail_with_a_sentence(values: dict[str, Any], sentence: str) -> None:
    rendered = render(values)
    assert rendered.code != 0
    assert sentence in rendered.stderr


def secret_settings() -> list[str]:
    """Settings of pgproof that are secret, as a configuration writes them."""
    return [leaf.name.replace("*", "main") for leaf in leaves() if leaf.secret]


@pytest.mark.parametrize("name", secret_settings())
def test_no_secret_of_pgproof_gets_into_a_config_map(name: str) -> None:
    config: Any = "secret"
    for step in reversed(name.split(".")):
        config = {step: config}
    rendered = render({"databases": {"crm": {**SHOP, "config": config}}, "store": S3})
    assert f"config.{name} would put a secret into a ConfigMap" in rendered.stderr


@pytest.mark.parametrize("section", ["webhook", "restore", "image", "events", "config", "resources", "database"])
def test_a_section_that_was_left_empty_is_named(section: str) -> None:
    rendered = render(minimal(**{section: None}) if section != "database" else {"database": None, "store": S3})
    assert rendered.code != 0
    assert f"missing property '{section}'" in rendered.stderr


@pytest.mark.parametrize(
    "config",
    [
        {"notify": None},
        {"stores": None},
        {"database": "x"},
        {"sync": None},
        {"sync": "x"},
        {"serve": None},
        {"serve": "x"},
    ],
)
def test_a_configuration_of_a_strange_shape_breaks_no_template(config: dict[str, Any]) -> None:
    assert "error calling" not in render(minimal(config=config, serve=SERVE)).stderr


def test_all_that_does_not_fit_is_said_at_once() -> None:
    said = render({"webhook": {"secret": "a"}}).stderr
    assert said.count("\n  - ") == 3


def test_a_release_is_never_upgraded_to_one_restore() -> None:
    values = yaml.safe_dump(minimal(restore={"backup": "latest"}))
    done = helm("template", RELEASE, str(CHART), "--is-upgrade", "--values", "-", stdin=values)
    assert "restore.backup is for helm template alone" in done.stderr


@pytest.mark.parametrize(
    "values",
    [
        {"database": {}, "config": {"database": {"url_file": "/run/secrets/url"}}, "store": S3},
        {"database": SHOP, "config": {"stores": {"main": {"url": "s3://backups"}}}},
        minimal(store={"url": "/srv/backups"}, extraVolumeMounts=[{"name": "nfs", "mountPath": "/srv"}]),
        minimal(sync={"enabled": True}, config={"sync": {"url_file": "/run/secrets/second"}}),
        minimal(serve={"enabled": True}, config={"serve": {"tokens_file": "/run/secrets/tokens"}}),
        minimal(**{"global": {"a": "b"}}),
    ],
    ids=[
        "a file with the address",
        "stores of the configuration",
        "a volume of one's own",
        "a file with the address of the second database",
        "a file with the tokens",
        "a parent's global values",
    ],
)
def test_the_chart_takes(values: dict[str, Any]) -> None:
    rendered = render(values)
    assert rendered.code == 0, rendered.stderr
