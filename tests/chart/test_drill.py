"""Drills: what their pods are given, where the throwaway server lives, and who can reach it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backup.postgres import trial
from tests.chart.render import CI_FILES, Object, Rendered, minimal, pod_specs, render, render_file
from tests.chart.test_settings import environment, settings

SIDECAR = {"image": "postgis/postgis:17-3.5"}
SECRET = {"existingSecret": "shop"}


def drill_pod(rendered: Rendered, name: str = "mydb") -> Object:
    assert rendered.code == 0, rendered.stderr
    return dict(pod_specs(rendered))[f"CronJob {name}-drill"]


def variables(pod: Object) -> set[str]:
    return {each["name"] for each in pod["containers"][0]["env"]}


def volume(pod: Object, name: str) -> Object:
    (found,) = [each for each in pod["volumes"] if each["name"] == name]
    return dict(found)


@pytest.mark.parametrize("file", CI_FILES, ids=lambda file: file.stem)
def test_every_database_has_a_drill_which_runs_by_itself_only_if_that_is_said(file: Path) -> None:
    cronjobs = render_file(file).of("CronJob")
    backups = {name.removesuffix("-backup") for name in cronjobs if name.endswith("-backup")}
    drills = {name.removesuffix("-drill"): each["spec"] for name, each in cronjobs.items() if name.endswith("-drill")}
    assert drills.keys() == backups
    running = {name for name, spec in drills.items() if not spec["suspend"]}
    assert running == {
        "drill-values": {"mydb"},
        "encryption-values": {"mydb"},
        "drill-sidecar-values": {"mydb"},
        "several-databases-values": {"mydb-shop", "mydb-wiki"},
    }.get(file.stem, set())
    for spec in drills.values():
        job = spec["jobTemplate"]["spec"]
        assert (spec["concurrencyPolicy"], job["backoffLimit"]) == ("Forbid", 0)
        # One that is enabled makes up for nothing, and one that hangs does not keep the next from starting for ever.
        assert {"startingDeadlineSeconds", "activeDeadlineSeconds"} <= spec.keys() | job.keys()


def test_a_drill_knows_no_password_of_the_database_where_the_target_is_named(tmp_path: Path) -> None:
    named = {"databases": {"crm": SECRET}, "store": {"url": "s3://backups"}, "restore": {"existingSecret": "admin"}}
    for rendered, name, target in (
        (render(minimal(database={**SECRET, "target": "shop"})), "mydb", "shop"),
        (render(named), "mydb-crm", "crm"),
    ):
        pod = drill_pod(rendered, name)
        assert not {each for each in variables(pod) if each.endswith("_URL")}
        assert settings(rendered, pod, tmp_path).settings.target == target


def test_without_a_named_target_the_address_tells_a_drill_whose_backups_are_meant() -> None:
    assert "PGPROOF_DATABASE_URL" in variables(drill_pod(render(minimal())))


def test_the_server_lives_on_a_disk_of_its_own_of_the_size_that_is_said(tmp_path: Path) -> None:
    rendered = render(minimal(drill={"storage": {"size": "3Gi"}}))
    pod = drill_pod(rendered)
    assert volume(pod, "server") == {"name": "server", "emptyDir": {"sizeLimit": "3Gi"}}
    folder = str(settings(rendered, pod, tmp_path).settings.drill.folder)
    assert {"name": "server", "mountPath": folder} in pod["containers"][0]["volumeMounts"]

    storage = {"size": "2Ti", "volume": True}
    claim = volume(drill_pod(render(minimal(drill={"storage": storage}))), "server")["ephemeral"]["volumeClaimTemplate"]
    assert claim["spec"] == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Ti"}}}
    claim = volume(drill_pod(render(minimal(drill={"storage": {**storage, "storageClass": "a"}}))), "server")
    assert claim["ephemeral"]["volumeClaimTemplate"]["spec"]["storageClassName"] == "a"


def test_a_job_whose_volume_costs_does_not_stay_for_its_log() -> None:
    kept, deleted = (
        render(minimal(drill={"storage": {"volume": volume}})).of("CronJob")["mydb-drill"]["spec"]["jobTemplate"][
            "spec"
        ]
        for volume in (False, True)
    )
    assert "ttlSecondsAfterFinished" not in kept
    assert deleted["ttlSecondsAfterFinished"] == 3600


def test_what_is_drilled_and_how_reaches_pgproof(tmp_path: Path) -> None:
    checks = {"a: b": "SELECT 'it''s' = $$it's$$", "two": "SELECT true\n  FROM orders"}
    values = minimal(
        drill={"backup": "2026-11-22", "sample": 7, "checks": checks}, config={"drill": {"check_timeout": 9}}
    )
    rendered = render(values)
    pod = drill_pod(rendered)
    assert pod["containers"][0]["args"] == ["drill", "2026-11-22"]
    drill = settings(rendered, pod, tmp_path).settings.drill
    assert (drill.sample, drill.checks, drill.check_timeout) == (7, checks, 9)


def test_a_database_may_say_otherwise_and_has_the_rest_in_common(tmp_path: Path) -> None:
    own = {
        "enabled": False,
        "schedule": "@daily",
        "resources": {"limits": {"memory": "9Gi"}},
        "checks": {"b": "SELECT 2=2"},
    }
    rendered = render(
        {
            "databases": {"crm": {**SECRET, "drill": {**own, "postgres": SIDECAR}}, "shop": SECRET},
            "store": {"url": "s3://backups"},
            "drill": {"enabled": True, "checks": {"a": "SELECT 1=1"}, "sample": 50},
        }
    )
    cronjobs = rendered.of("CronJob")
    said = {key: cronjobs[f"mydb-{key}-drill"]["spec"] for key in ("crm", "shop")}
    assert {key: (spec["suspend"], spec["schedule"]) for key, spec in said.items()} == {
        "crm": (True, "@daily"),
        "shop": (False, "30 4 * * 0"),
    }
    crm, shop = (drill_pod(rendered, f"mydb-{key}") for key in ("crm", "shop"))
    assert crm["initContainers"][0]["resources"]["limits"] == {"memory": "9Gi"}
    assert shop["containers"][0]["resources"]["limits"] == {"memory": "2Gi"}
    assert "initContainers" not in shop
    checks = {key: settings(rendered, pod, tmp_path).settings.drill for key, pod in (("crm", crm), ("shop", shop))}
    assert (checks["crm"].sample, set(checks["crm"].checks), set(checks["shop"].checks)) == (50, {"a", "b"}, {"a"})


def test_events_may_be_told_on_every_cronjob() -> None:
    second = {"enabled": True, "existingSecret": "second"}
    rendered = render(minimal(events={"enabled": True}, check={"enabled": True}, sync=second))
    (role,) = rendered.of("Role").values()
    (named,) = [rule["resourceNames"] for rule in role["rules"] if rule["resources"] == ["cronjobs"]]
    assert set(named) == rendered.of("CronJob").keys()
    for name, pod in pod_specs(rendered):
        if name.startswith("CronJob "):
            assert f"CronJob {environment(rendered, pod)['PGPROOF_KUBERNETES_CRONJOB']}" == name


def server(**said: Any) -> tuple[Object, Object]:  # noqa: ANN401 -- values of any kind
    """A drill's pod with a server beside pgproof, and that server."""
    pod = drill_pod(render(minimal(drill={"postgres": {**SIDECAR, **said}})))
    (container,) = pod["initContainers"]
    return pod, container


def test_a_server_from_another_image_runs_before_pgproof_and_does_not_keep_the_job_from_ending() -> None:
    pod, container = server()
    assert container["image"] == SIDECAR["image"]
    assert container["restartPolicy"] == "Always"
    assert "startupProbe" in container
    # It has what the throwaway server would have had, and pgproof what it has for a backup.
    assert container["resources"]["limits"] == {"memory": "2Gi"}
    assert pod["containers"][0]["resources"]["limits"] == {"memory": "512Mi"}


def test_it_can_be_reached_by_a_socket_in_the_pod_alone() -> None:
    pod, container = server()
    assert container["args"][:2] == ["-c", "listen_addresses="]
    assert "ports" not in container
    socket = {"name": "server-socket", "mountPath": "/var/run/postgresql"}
    assert socket in container["volumeMounts"]
    assert socket in pod["containers"][0]["volumeMounts"]
    (address,) = [each["value"] for each in pod["containers"][0]["env"] if each["name"] == "PGPROOF_DRILL_ON"]
    assert address.endswith(f"?host={socket['mountPath']}")
    assert "PGPROOF_DRILL_FOLDER" not in variables(pod)
    # Data, socket and /tmp are all that it may write, and none of it is shared but the socket.
    shared = {each["name"] for each in container["volumeMounts"]} & {
        each["name"] for each in pod["containers"][0]["volumeMounts"]
    }
    assert shared == {"server-socket"}


def test_it_is_set_up_as_the_throwaway_server_of_pgproof_is() -> None:
    _, container = server(args=["-c", "shared_preload_libraries=a"])
    said = dict(each.split("=", 1) for each in container["args"] if each != "-c")
    assert said == {**vars(trial)["_SETTINGS"], "listen_addresses": "", "shared_preload_libraries": "a"}


def test_its_user_may_be_another_and_it_stays_restricted() -> None:
    _, container = server(securityContext={"runAsUser": 70}, env=[{"name": "A", "value": "b"}])
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsUser": 70,
    }
    assert {"name": "A", "value": "b"} in container["env"]
