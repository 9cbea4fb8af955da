"""schemathesis asks the service what its own description allows and what it does not; nothing may break."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_plugin import api, runs
from tests.kube.api_server import Api
from tests.rows.conftest import Shop
from tests.support.serving import MASTER, Service, serving

__all__ = ["api"]

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
)


@pytest.fixture
def whole_service(api: Api, shop: Shop, tmp_path: Path) -> Iterator[Service]:
    """One with a database, in a cluster whose Jobs end at once: so nothing that is asked for does any harm."""
    runs(api, 0, ["done"], said="done")
    for component in ("drill", "sync"):
        cronjob = copy.deepcopy(api.objects["cronjobs", "shop-backup"])
        cronjob["metadata"] |= {"name": f"shop-{component}"}
        cronjob["metadata"]["labels"]["app.kubernetes.io/component"] = component
        cronjob["spec"]["jobTemplate"]["metadata"]["labels"]["app.kubernetes.io/component"] = component
        api.objects["cronjobs", f"shop-{component}"] = cronjob
    (tmp_path / "store").mkdir()
    environ = {"KUBECONFIG": str(api.kubeconfig(tmp_path)), "PGPROOF_STORE": str(tmp_path / "store")}
    assert shop.run("backup", PGPROOF_STORE=environ["PGPROOF_STORE"]).code == 0
    with serving(shop.run, "--release", "shop", **environ) as found:
        yield found


@pytest.mark.timeout(600)
def test_nothing_that_its_description_allows_or_forbids_breaks_it(whole_service: Service, tmp_path: Path) -> None:
    ended = subprocess.run(
        [
            Path(sys.executable).parent / "schemathesis",
            "run",
            f"{whole_service.url}/api/openapi.json",
            f"--header=Authorization: Bearer {MASTER}",
            f"--checks={','.join(CHECKS)}",
            "--phases=examples,coverage,fuzzing",
            "--max-examples=30",
            "--generation-deterministic",
            "--continue-on-failure",
            "--no-color",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-20_000:]
    assert whole_service.get("/readyz").status_code == 200


def test_no_route_but_the_probes_answers_without_a_token(service: Service) -> None:
    described = service.get("/api/openapi.json", token=None).json()["paths"]
    with service.caller(None) as caller:
        for path, methods in described.items():
            for method in methods:
                answer = caller.request(method, path.replace("{backup}", "latest").replace("{run}", "x"))
                assert answer.status_code == (200 if path in {"/healthz", "/readyz"} else 401), path


def test_a_method_that_is_not_taken_is_answered_with_those_that_are(service: Service) -> None:
    with service.caller() as caller:
        answer = caller.options("/api/backups")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
