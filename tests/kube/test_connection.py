"""The way to a cluster by kubeconfig, and each way in which it fails."""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from backup.errors import AccessDenied, ClusterUnreachable, ConfigurationError, NotFound, PgproofError, RequestRefused
from backup.kube.connection import Cluster, from_kubeconfig
from backup.kube.objects import create, delete, get, items
from tests.kube.api_server import NAMESPACE, TOKEN, Answer, Api, running_api
from tests.support.certificates import make_certificate

LIST = "list cronjobs in prod"


@pytest.fixture
def api() -> Iterator[Api]:
    with running_api() as api:
        api.add("cronjobs", "shop-backup")
        yield api


@pytest.fixture(autouse=True)
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def changed(file: Path, name: str, **changes: Any) -> Path:  # noqa: ANN401 -- YAML
    """A copy of a kubeconfig with other entries; None takes one out."""
    content = {**yaml.safe_load(file.read_text(encoding="utf-8")), **changes}
    copy = file.with_name(name)
    copy.write_text(yaml.safe_dump({key: each for key, each in content.items() if each is not None}), encoding="utf-8")
    return copy


def names(cluster: Cluster) -> list[str]:
    return [each["metadata"]["name"] for each in items(cluster, "cronjobs")]


def refused(cluster: Cluster) -> PgproofError:
    with pytest.raises(PgproofError) as failure:
        items(cluster, "cronjobs")
    return failure.value


class TestKubeconfig:
    def test_the_file_that_is_named_is_taken(self, api: Api, tmp_path: Path) -> None:
        cluster = from_kubeconfig(file=api.kubeconfig(tmp_path))
        assert cluster.namespace == NAMESPACE
        assert names(cluster) == ["shop-backup"]

    def test_the_variable_names_it_too(self, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path)))
        assert names(from_kubeconfig()) == ["shop-backup"]

    @pytest.mark.parametrize("variable", [None, ""], ids=["unset", "empty"])
    def test_without_one_it_is_that_of_the_home(
        self, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str | None
    ) -> None:
        (tmp_path / ".kube").mkdir()
        api.kubeconfig(tmp_path).rename(tmp_path / ".kube" / "config")
        if variable is not None:
            monkeypatch.setenv("KUBECONFIG", variable)
        assert names(from_kubeconfig()) == ["shop-backup"]

    def test_a_namespace_of_the_command_line_goes_before_that_of_the_context(self, api: Api, tmp_path: Path) -> None:
        cluster = from_kubeconfig(file=api.kubeconfig(tmp_path), namespace="other")
        assert (cluster.namespace, names(cluster)) == ("other", [])

    def test_a_context_is_chosen_by_name_also_where_none_is_current(self, api: Api, tmp_path: Path) -> None:
        contexts = [{"name": "b", "context": {"cluster": "this", "user": "me"}}]
        file = changed(api.kubeconfig(tmp_path), "other", **{"current-context": None, "contexts": contexts})
        assert from_kubeconfig(file=file, context="b").namespace == "default"
        with pytest.raises(ConfigurationError, match="names no current context") as failure:
            from_kubeconfig(file=file)
        assert failure.value.hint == "choose one with --context: b"

    def test_an_unknown_context_is_told_those_there_are(self, api: Api, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="the kubeconfig has no context nowhere") as failure:
            from_kubeconfig(file=api.kubeconfig(tmp_path), context="nowhere")
        assert failure.value.hint == "choose one with --context: here"

    def test_several_files_are_one_and_the_first_that_says_something_is_right(
        self, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As kubectl has it: it must never be another cluster that is meant."""
        first = api.kubeconfig(tmp_path)
        elsewhere = {"clusters": [{"name": "far", "cluster": {"server": "http://127.0.0.1:1"}}]}
        contexts = [{"name": "there", "context": {"cluster": "far", "user": "me", "namespace": "far"}}]
        second = changed(first, "second", **{"current-context": "there", "contexts": contexts, **elsewhere})
        monkeypatch.setenv("KUBECONFIG", f"{first}:{tmp_path / 'missing'}::{second}")
        assert names(from_kubeconfig()) == ["shop-backup"]
        assert from_kubeconfig(context="there").namespace == "far"
        assert from_kubeconfig(file=Path(f"{second}:{first}")).namespace == "far"

    def test_no_file_at_all_is_said(self, tmp_path: Path) -> None:
        for file in (None, tmp_path / "missing"):
            with pytest.raises(ConfigurationError, match="no cluster is set") as failure:
                from_kubeconfig(file=file)
            assert failure.value.detail == f"there is no file {file or '~/.kube/config'}"
            assert "KUBECONFIG" in (failure.value.hint or "")

    @pytest.mark.parametrize("content", [b"a: [b", b"- a", b"", b"text", b"contexts: 3", b"\xff", b"contexts: [{}]"])
    def test_a_broken_file_is_said(self, tmp_path: Path, content: bytes) -> None:
        file = tmp_path / "kubeconfig"
        file.write_bytes(content)
        with pytest.raises(ConfigurationError, match=r"^the kubeconfig (can|names no current context)"):
            from_kubeconfig(file=file)

    def test_a_file_that_is_no_file_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="cannot be read"):
            from_kubeconfig(file=tmp_path)

    def test_a_certificate_that_is_missing_is_named(self, api: Api, tmp_path: Path) -> None:
        file = api.kubeconfig(tmp_path, scheme="https", cluster={"certificate-authority": "missing.crt"})
        with pytest.raises(ConfigurationError, match="cannot be used") as failure:
            from_kubeconfig(file=file)
        assert f"{tmp_path}/missing.crt" in (failure.value.detail or "")

    def test_what_is_wrong_with_an_entry_is_said_without_its_secrets(self, api: Api, tmp_path: Path) -> None:
        login = {"name": "oidc", "config": {"client-secret": "s3cr3t", "refresh-token": "s3cr3t"}}
        users = [{"name": "me", "user": {"auth-provider": login}}]
        with pytest.raises(ConfigurationError) as failure:
            from_kubeconfig(file=changed(api.kubeconfig(tmp_path), "oidc", users=users))
        assert "id-token" in (failure.value.detail or "")
        assert "s3cr3t" not in f"{failure.value.detail} {failure.value.hint} {failure.value}"

    @pytest.mark.parametrize(
        ("command", "detail"),
        [
            ("no-such-program", "No such file or directory: 'no-such-program'"),
            ("false", "exec: process returned 1"),
            ("true", "exec: failed to decode process output"),
        ],
    )
    def test_a_program_for_logging_in_that_fails_is_named(
        self, api: Api, tmp_path: Path, command: str, detail: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        login = {"apiVersion": "client.authentication.k8s.io/v1", "command": command}
        file = changed(api.kubeconfig(tmp_path), "login", users=[{"name": "me", "user": {"exec": login}}])
        with pytest.raises(ConfigurationError, match="program for logging in gives no credentials") as failure:
            from_kubeconfig(file=file)
        assert detail in (failure.value.detail or "")
        assert "kubectl get pods" in (failure.value.hint or "")
        assert caplog.text == ""

    def test_a_program_for_logging_in_is_asked(self, api: Api, tmp_path: Path) -> None:
        version = "client.authentication.k8s.io/v1"
        program = tmp_path / "program"
        answer = f'{{"apiVersion": "{version}", "kind": "ExecCredential", "status": {{"token": "{TOKEN}"}}}}'
        program.write_text(f"#!/bin/sh\necho '{answer}'\n")
        program.chmod(0o700)
        users = [{"name": "me", "user": {"exec": {"apiVersion": version, "command": str(program)}}}]
        assert names(from_kubeconfig(file=changed(api.kubeconfig(tmp_path), "login", users=users))) == ["shop-backup"]


class TestAnswers:
    @pytest.fixture
    def cluster(self, api: Api, tmp_path: Path) -> Cluster:
        return from_kubeconfig(file=api.kubeconfig(tmp_path), timeout=5)

    def test_an_expired_token_is_denied(self, api: Api, tmp_path: Path) -> None:
        users = [{"name": "me", "user": {"token": "expired"}}]
        error = refused(from_kubeconfig(file=changed(api.kubeconfig(tmp_path), "expired", users=users)))
        assert (type(error), error.message) == (AccessDenied, f"the cluster does not know us: {LIST}")
        assert (error.detail, error.hint) == ("Unauthorized", "log in to the cluster again")

    def test_a_right_that_is_missing_is_named(self, api: Api, cluster: Cluster) -> None:
        said = 'cronjobs.batch is forbidden: User "me" cannot list resource "cronjobs" in API group "batch"'
        api.answers["GET", "cronjobs"] = Answer.refusal(403, said)
        error = refused(cluster)
        assert (type(error), error.message, error.detail) == (AccessDenied, f"no right to {LIST}", said)
        assert "docs/kubectl.md" in (error.hint or "")

    def test_an_admission_that_refuses_is_no_missing_right(self, api: Api, cluster: Cluster) -> None:
        said = 'jobs.batch "x" is forbidden: exceeded quota: jobs, requested: count/jobs.batch=1'
        api.answers["POST", "jobs"] = Answer.refusal(403, said)
        with pytest.raises(AccessDenied, match="the cluster does not allow this: create jobs in prod") as failure:
            create(cluster, "jobs", {"metadata": {"name": "x"}})
        assert (failure.value.detail, failure.value.hint) == (said, None)

    def test_what_is_not_there_is_named(self, cluster: Cluster) -> None:
        with pytest.raises(NotFound, match="not there: get the job x in prod"):
            get(cluster, "jobs", "x")
        with pytest.raises(NotFound, match="not there: delete the job x in prod"):
            delete(cluster, "jobs", "x")

    @pytest.mark.parametrize("status", [302, 408, 429, 500, 503])
    def test_what_may_pass_is_told_in_its_words(self, api: Api, cluster: Cluster, status: int) -> None:
        api.answers["GET", "cronjobs"] = Answer.refusal(status, "in its words")
        error = refused(cluster)
        assert (type(error), error.detail) == (ClusterUnreachable, "in its words")
        assert error.message == f"the Kubernetes cluster cannot do this: {LIST}"

    @pytest.mark.parametrize("status", [400, 409, 422])
    def test_what_will_not_pass_is_a_refusal_in_its_words(self, api: Api, cluster: Cluster, status: int) -> None:
        api.answers["GET", "cronjobs"] = Answer.refusal(status, "in its words")
        error = refused(cluster)
        assert (type(error), error.detail) == (RequestRefused, "in its words")
        assert error.message == f"the Kubernetes cluster refuses this: {LIST}"

    @pytest.mark.parametrize("content", [b"<html>hello</html>", b"", b"null", b"[]", b"\xff\xfe", b"3", b"{}"])
    def test_what_is_no_kubernetes_is_said(self, api: Api, cluster: Cluster, content: bytes) -> None:
        api.answers["GET", "cronjobs"] = Answer(status=200, content=content)
        error = refused(cluster)
        assert (type(error), error.message) == (ClusterUnreachable, f"what answers is no Kubernetes API: {LIST}")
        assert "proxy" in (error.hint or "")

    def test_a_page_of_a_proxy_is_told_by_its_status(self, api: Api, cluster: Cluster) -> None:
        api.answers["GET", "cronjobs"] = Answer(status=502, content=b"<html>Bad Gateway</html>")
        error = refused(cluster)
        assert (type(error), error.detail) == (ClusterUnreachable, "502 Bad Gateway")


class TestNoAnswer:
    def test_a_server_that_refuses_is_not_there(self, api: Api, tmp_path: Path) -> None:
        error = refused(from_kubeconfig(file=api.kubeconfig(tmp_path, port=1)))
        assert (type(error), error.message) == (ClusterUnreachable, f"the Kubernetes cluster does not answer: {LIST}")
        assert "Connection refused" in (error.detail or "")
        assert "kubectl cluster-info" in (error.hint or "")

    def test_a_server_that_is_silent_is_given_up_on(self, api: Api, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            file = api.kubeconfig(tmp_path, port=silent.getsockname()[1])
            error = refused(from_kubeconfig(file=file, timeout=0.2))
        assert isinstance(error, ClusterUnreachable)
        assert "timed out" in (error.detail or "")

    def test_an_address_that_is_none_is_said(self, api: Api, tmp_path: Path) -> None:
        error = refused(from_kubeconfig(file=api.kubeconfig(tmp_path, scheme="gopher")))
        assert isinstance(error, ClusterUnreachable)

    def test_a_certificate_of_somebody_else_is_not_trusted(self, tmp_path: Path) -> None:
        ours, other = make_certificate("127.0.0.1"), make_certificate("127.0.0.1")
        (tmp_path / "server.pem").write_bytes(ours.chain + ours.key)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(tmp_path / "server.pem")
        with running_api(context) as api:
            for authority, trusted in ((ours, True), (other, False)):
                data = {"certificate-authority-data": base64.b64encode(authority.authority).decode()}
                cluster = from_kubeconfig(file=api.kubeconfig(tmp_path, scheme="https", cluster=data))
                if trusted:
                    assert names(cluster) == []
                else:
                    error = refused(cluster)
        assert isinstance(error, ClusterUnreachable)
        assert error.message == f"no trusted connection to the Kubernetes cluster: {LIST}"
        assert "CERTIFICATE_VERIFY_FAILED" in (error.detail or "")
        assert "kubeconfig" in (error.hint or "")
