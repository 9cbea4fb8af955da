"""The HTTP service in the cluster: what its pod is given, what it may do, and who comes to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backup.domain.access import Scope
from tests.chart.render import CI_FILES, Object, Rendered, minimal, pod_specs, render, render_file
from tests.chart.test_settings import environment, settings

SECRET = {"existingSecret": "shop"}
SERVE = {"enabled": True, "tokens": {"existingSecret": "tokens"}}
SEVERAL = {
    "databases": {
        "crm": SECRET,
        "shop": {**SECRET, "target": "big-shop", "config": {"rows": {"tables": {"users": {}}}}},
    },
    "store": {"url": "s3://backups"},
}
EVERYTHING = minimal(
    serve=SERVE,
    webhook={"existingSecret": "hook"},
    notify={"existingSecret": "chat"},
    pushgateway={"existingSecret": "gateway"},
    encryption={"to": [], "identity": {"existingSecret": "identity"}},
    sync={"enabled": True, "existingSecret": "second"},
    restore={"existingSecret": "elsewhere"},
    events={"enabled": True},
)


def of_file() -> Rendered:
    return render_file(next(each for each in CI_FILES if each.stem == "serve-values"))


def pod_of(rendered: Rendered) -> Object:
    assert rendered.code == 0, rendered.stderr
    return dict(pod_specs(rendered))["Deployment mydb-serve"]


def test_nothing_of_it_is_there_unless_it_is_asked_for() -> None:
    rendered = render(minimal(networkPolicy={"enabled": True}))
    assert not [each["metadata"]["name"] for each in rendered.objects if "serve" in each["metadata"]["name"]]


def test_its_tokens_come_from_a_secret_and_its_runs_are_jobs_of_the_release(tmp_path: Path) -> None:
    rendered = render(minimal(serve={**SERVE, "port": 9000, "every": 7, "proxies": ["10.0.0.0/8", "::1"]}))
    pod = pod_of(rendered)
    (container,) = pod["containers"]
    said = {each["name"]: each for each in container["env"]}
    assert said["PGPROOF_API_TOKENS"]["valueFrom"]["secretKeyRef"] == {"name": "tokens", "key": "tokens"}
    found = settings(rendered, pod, tmp_path).settings
    assert (found.serve.host, found.serve.port, found.serve.every) == ("0.0.0.0", 9000, 7)  # noqa: S104 -- in its pod
    assert (found.serve.release, found.serve.proxies) == ("mydb", ("10.0.0.0/8", "::1"))
    assert found.serve.parsed_tokens[0].scopes == {Scope.READ, Scope.DATA}
    assert (container["args"], pod["restartPolicy"], found.database.conninfo[:10]) == (
        ["serve"],
        "Always",
        "postgresql",
    )


def test_it_has_no_secret_but_those_of_tokens_store_and_rows() -> None:
    said = environment(rendered := render(EVERYTHING), pod_of(rendered))
    secret = {"WEBHOOK", "NOTIFY", "PING", "PUSHGATEWAY", "IDENTITY", "SYNC_URL", "RESTORE", "KUBERNETES"}
    assert not {name for name in said if any(word in name for word in secret)}
    assert {"PGPROOF_API_TOKENS", "PGPROOF_DATABASE_URL"} <= said.keys()
    for name, pod in pod_specs(rendered):
        assert ("PGPROOF_API_TOKENS" in str(pod)) is (name == "Deployment mydb-serve"), name


@pytest.mark.parametrize(("chosen", "tables"), [("", None), ("shop", ["users"])])
def test_of_several_databases_it_shows_all_and_hands_out_the_rows_of_one(
    chosen: str, tables: list[str] | None, tmp_path: Path
) -> None:
    rendered = render({**SEVERAL, "serve": {**SERVE, "database": chosen}})
    pod = pod_of(rendered)
    found = settings(rendered, pod, tmp_path).settings
    assert found.target is None
    assert (found.database.url is not None) is (tables is not None)
    if tables:
        assert list(found.rows.choice.tables) == tables


def test_where_nobodys_rows_are_handed_out_it_has_the_settings_of_no_database(tmp_path: Path) -> None:
    databases = {
        "crm": {"retention": "daily=1", "config": {"database": {"url_file": "/run/secrets/crm"}, "rows": {}}},
        "shop": SECRET,
    }
    values = {**SEVERAL, "databases": databases, "retention": "daily=7", "config": {"log": {"format": "json"}}}
    rendered = render({**values, "serve": SERVE})
    found = settings(rendered, pod_of(rendered), tmp_path)
    assert not [path for path in found.origins if path[0] == "database"]
    assert (found.settings.rules(found.settings.store()).daily, found.settings.log.format) == (7, "json")
    of_crm = render({**values, "serve": {**SERVE, "database": "crm"}})
    assert "url_file: /run/secrets/crm" in config_of(of_crm)
    assert "url_file" not in config_of(rendered)
    assert "mydb-serve" not in of_crm.of("ConfigMap")


def config_of(rendered: Rendered) -> str:
    (name,) = (each["configMap"]["name"] for each in pod_of(rendered)["volumes"] if each["name"] == "config")
    return str(rendered.of("ConfigMap")[name]["data"]["config.yaml"])


def test_it_may_make_jobs_and_read_them_by_an_account_that_nobody_else_has() -> None:
    rendered = render(minimal(serve=SERVE))
    role = rendered.of("Role")["mydb-serve"]
    may = {(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
    assert may == {
        ("cronjobs", "list"),
        ("jobs", "get"),
        ("jobs", "list"),
        ("jobs", "create"),
        ("pods", "list"),
        ("pods/log", "get"),
        ("events", "list"),
    }
    binding = rendered.of("RoleBinding")["mydb-serve"]
    assert binding["roleRef"]["name"] == "mydb-serve"
    (subject,) = binding["subjects"]
    accounts = {name: pod["serviceAccountName"] for name, pod in pod_specs(rendered)}
    assert {name for name, account in accounts.items() if account == subject["name"]} == {"Deployment mydb-serve"}
    assert subject["name"] in rendered.of("ServiceAccount")


@pytest.mark.parametrize(
    ("values", "account"),
    [
        ({"serviceAccount": {"create": False, "name": "given"}}, "given"),
        ({"serve": {**SERVE, "serviceAccountName": "mine"}}, "mine"),
    ],
)
def test_an_account_that_is_there_can_be_named(values: dict[str, Any], account: str) -> None:
    rendered = render(minimal(**{"serve": SERVE, **values}))
    assert pod_of(rendered)["serviceAccountName"] == account
    assert "mydb-serve" not in rendered.of("ServiceAccount")
    assert rendered.of("RoleBinding")["mydb-serve"]["subjects"][0]["name"] == account


def test_a_role_of_a_cloud_is_its_own_too() -> None:
    account = {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/backup"}}
    made = render(minimal(serve=SERVE, serviceAccount=account)).of("ServiceAccount")
    assert {name: each["metadata"]["annotations"] for name, each in made.items()} == {
        "mydb": account["annotations"],
        "mydb-serve": account["annotations"],
    }


def test_service_ingress_policy_and_probes_lead_to_its_port() -> None:
    rendered = of_file()
    deployment = rendered.of("Deployment")["mydb-serve"]["spec"]["template"]
    (container,) = deployment["spec"]["containers"]
    (port,) = container["ports"]
    assert port["containerPort"] == 9433
    service = rendered.of("Service")["mydb-serve"]["spec"]
    assert service["selector"].items() <= deployment["metadata"]["labels"].items()
    assert service["ports"] == [{"name": "https", "port": 9433, "targetPort": port["name"], "protocol": "TCP"}]
    ingress = rendered.of("Ingress")["mydb-serve"]["spec"]
    (rule,) = ingress["rules"]
    (path,) = rule["http"]["paths"]
    assert path["backend"]["service"] == {"name": "mydb-serve", "port": {"name": "https"}}
    assert ingress["tls"] == [{"hosts": [rule["host"]], "secretName": "backups-tls"}]
    policy = rendered.of("NetworkPolicy")["mydb-serve"]["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= deployment["metadata"]["labels"].items()
    (way_in,) = policy["ingress"]
    assert way_in["ports"] == [{"protocol": "TCP", "port": 9433}]
    assert way_in["from"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "ingress"}
    assert {each["port"] for rule in policy["egress"] for each in rule["ports"]} == {443, 6443}
    asked = {name: container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {name: each["path"] for name, each in asked.items()} == {
        "startupProbe": "/healthz",
        "livenessProbe": "/healthz",
        "readinessProbe": "/readyz",
    }
    assert {(each["port"], each["scheme"]) for each in asked.values()} == {(port["name"], "HTTPS")}


def test_its_certificate_is_mounted_and_its_probes_speak_as_it_does() -> None:
    pod = pod_of(of_file())
    (container,) = pod["containers"]
    said = {each["name"]: each.get("value") for each in container["env"]}
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    volumes = {each["name"]: each for each in pod["volumes"]}
    assert said["PGPROOF_SERVE_TLS_CERT"] == f"{mounts['tls']}/tls.crt"
    assert said["PGPROOF_SERVE_TLS_KEY"] == f"{mounts['tls']}/tls.key"
    assert volumes["tls"]["secret"]["secretName"] == "shop-tls"
    plainly = render(minimal(serve=SERVE))
    (plain,) = pod_of(plainly)["containers"]
    assert plainly.of("Service")["mydb-serve"]["spec"]["ports"][0]["name"] == plain["ports"][0]["name"] == "http"
    assert plain["livenessProbe"]["httpGet"]["scheme"] == "HTTP"
    assert "TLS" not in str(plain["env"])


def test_it_still_listens_while_the_service_forgets_its_pod() -> None:
    (container,) = pod_of(render(minimal(serve=SERVE)))["containers"]
    assert container["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "5"]


def test_in_a_cluster_of_ipv6_alone_both_services_can_be_reached(tmp_path: Path) -> None:
    rendered = render(minimal(serve={**SERVE, "host": "::"}, watch={"enabled": True, "host": "::"}))
    pods = dict(pod_specs(rendered))
    found = [settings(rendered, pods[f"Deployment mydb-{name}"], tmp_path).settings for name in ("serve", "watch")]
    assert (found[0].serve.host, found[1].watch.host) == ("::", "::")
