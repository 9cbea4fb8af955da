"""Where keys come from, each place tried for real; the servers that hand out keys are real HTTP servers here."""

from __future__ import annotations

import ssl
import traceback
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from backup.errors import AccessDenied, ConfigurationError, PgproofError, StoreUnreachable
from backup.logs import setup
from backup.stores.addresses import KeyMode, KeySource
from backup.stores.credentials import Keys, find_keys
from tests.fixtures.proxy import proxied
from tests.support.certificates import make_certificate

TOKEN = "a-very-secret-token"
OFF = {"AWS_EC2_METADATA_DISABLED": "true"}


@pytest.fixture(autouse=True)
def no_keys_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("RELATIVE_URI", "FULL_URI"):
        monkeypatch.delenv(f"AWS_CONTAINER_CREDENTIALS_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def pair(keys: Keys) -> tuple[str, str, str | None]:
    assert keys.provider
    found = keys.provider.retrieve()
    return found.access_key, found.secret_key, found.session_token


def given(mode: KeyMode = "auto") -> KeySource:
    return KeySource(
        mode=mode, access_key=SecretStr("given"), secret_key=SecretStr("s1"), session_token=SecretStr("t1")
    )


def environment() -> dict[str, str]:
    return OFF | {"AWS_ACCESS_KEY_ID": "env", "AWS_SECRET_ACCESS_KEY": "s2", "AWS_SESSION_TOKEN": "t2"}


def credentials_file(tmp_path: Path) -> dict[str, str]:
    file = tmp_path / "credentials"
    file.write_text(
        "[default]\naws_access_key_id = file\naws_secret_access_key = s%3\n"
        "[other]\naws_access_key_id = other\naws_secret_access_key = s4\naws_session_token = t4\n"
        "[half]\naws_access_key_id = half\n"
    )
    return OFF | {"AWS_SHARED_CREDENTIALS_FILE": str(file)}


def test_keys_in_the_settings_come_first() -> None:
    keys = find_keys(given(), environment())
    assert pair(keys) == ("given", "s1", "t1")
    assert keys.place == "keys from the settings"
    assert "s1" not in repr(given())


def test_keys_in_the_environment_come_next(tmp_path: Path) -> None:
    keys = find_keys(KeySource(), credentials_file(tmp_path) | environment())
    assert pair(keys) == ("env", "s2", "t2")
    assert keys.place == "keys from AWS_ACCESS_KEY_ID"


def test_whose_keys_are_used_is_told_to_who_asks(capsys: pytest.CaptureFixture[str]) -> None:
    setup(verbose=True)
    find_keys(given(), environment())
    setup()
    said = capsys.readouterr().err
    assert 'place="keys from the settings"' in said
    assert "s1" not in said


def test_half_a_pair_is_told() -> None:
    with pytest.raises(ConfigurationError, match="only one of AWS_ACCESS_KEY_ID"):
        find_keys(KeySource(), OFF | {"AWS_ACCESS_KEY_ID": "env"})


def test_the_credentials_file_is_read(tmp_path: Path) -> None:
    environ = credentials_file(tmp_path)
    keys = find_keys(KeySource(), environ)
    assert pair(keys) == ("file", "s%3", None)
    assert keys.place == f"profile default of {tmp_path}/credentials"
    assert pair(find_keys(KeySource(), environ | {"AWS_PROFILE": "other"})) == ("other", "s4", "t4")


def test_the_credentials_file_is_found_at_home(tmp_path: Path) -> None:
    environ = credentials_file(tmp_path)
    (tmp_path / ".aws").mkdir()
    (tmp_path / "credentials").rename(tmp_path / ".aws" / "credentials")
    del environ["AWS_SHARED_CREDENTIALS_FILE"]
    assert pair(find_keys(KeySource(), environ | {"HOME": str(tmp_path)}))[0] == "file"


def test_half_a_profile_is_told(tmp_path: Path) -> None:
    keys = find_keys(KeySource(), credentials_file(tmp_path) | {"AWS_PROFILE": "half"})
    with pytest.raises(ConfigurationError, match=r"the profile half .* has only half a pair"):
        pair(keys)


def test_a_file_that_is_not_of_that_form_is_told(tmp_path: Path) -> None:
    environ = credentials_file(tmp_path)
    (tmp_path / "credentials").write_text("no section here")
    with pytest.raises(ConfigurationError, match="not a readable AWS credentials file"):
        find_keys(KeySource(), environ)


def test_a_mode_looks_in_its_own_place_only(tmp_path: Path) -> None:
    everything = credentials_file(tmp_path) | environment()
    assert pair(find_keys(given("environment"), everything))[0] == "env"
    assert pair(find_keys(given("file"), everything))[0] == "file"
    assert pair(find_keys(given("keys"), everything))[0] == "given"
    assert find_keys(given("anonymous"), everything).provider is None
    for mode in ("web-identity", "instance"):
        with pytest.raises(ConfigurationError, match=f"PGPROOF_S3_CREDENTIALS={mode}"):
            find_keys(given(mode), everything)


def test_where_nothing_is_found_it_is_said_where_was_looked(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        find_keys(KeySource(), OFF | {"HOME": str(tmp_path)})
    assert caught.value.status == 3
    detail = caught.value.detail or ""
    for place in ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", f"{tmp_path}/.aws/credentials", "instance"):
        assert place in detail


def sts_answer(number: int, lifetime: timedelta) -> str:
    expiration = (datetime.now(UTC) + lifetime).strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
        f"<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>web{number}</AccessKeyId>"
        f"<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>{expiration}</Expiration>"
        "</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    )


def web_identity(tmp_path: Path) -> dict[str, str]:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    return OFF | {"AWS_WEB_IDENTITY_TOKEN_FILE": str(file), "AWS_ROLE_ARN": "arn:aws:iam::1:role/backup"}


def test_a_web_identity_is_changed_for_keys_and_again_when_they_expire(tmp_path: Path, httpserver: HTTPServer) -> None:
    asked: list[dict[str, list[str]]] = []

    def answer(request: Request) -> Response:
        asked.append(parse_qs(urlsplit(request.url).query))
        return Response(sts_answer(len(asked), timedelta(seconds=5 if len(asked) == 1 else 3600)))

    httpserver.expect_request("/", method="POST").respond_with_handler(answer)
    source = KeySource(sts_endpoint=httpserver.url_for("/"))
    keys = find_keys(source, web_identity(tmp_path))
    assert keys.place == "web identity arn:aws:iam::1:role/backup"
    assert pair(keys) == ("web1", "s", "t")
    (tmp_path / "token").write_text("another-token")
    assert [pair(keys)[0] for _ in range(3)] == ["web2", "web2", "web2"]
    assert [query["WebIdentityToken"] for query in asked] == [[TOKEN], ["another-token"]]
    assert asked[0]["Action"] == ["AssumeRoleWithWebIdentity"]
    assert asked[0]["RoleArn"] == ["arn:aws:iam::1:role/backup"]
    assert asked[0]["RoleSessionName"] == ["pgproof"]


def told(error: PgproofError) -> str:
    return "".join(traceback.format_exception(error)) + f"{error.message} {error.detail} {error.hint}"


def test_a_web_identity_that_is_refused_is_told_without_the_token(tmp_path: Path, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/", method="POST").respond_with_data("<no/>", status=403)
    keys = find_keys(KeySource(sts_endpoint=httpserver.url_for("/")), web_identity(tmp_path))
    with pytest.raises(AccessDenied, match="HTTP 403") as caught:
        pair(keys)
    assert TOKEN not in told(caught.value)


def test_a_token_service_that_is_down_is_told_without_the_token(
    tmp_path: Path, httpserver: HTTPServer, capsys: pytest.CaptureFixture[str]
) -> None:
    setup(verbose=True)
    with proxied("127.0.0.1", httpserver.port) as proxy:
        proxy.refuse()
        keys = find_keys(KeySource(sts_endpoint=f"http://127.0.0.1:{proxy.port}"), web_identity(tmp_path))
        with pytest.raises(StoreUnreachable) as caught:
            pair(keys)
    setup()
    assert TOKEN not in told(caught.value)
    events = capsys.readouterr().err
    assert "Retrying" in events
    assert TOKEN not in events


def test_a_token_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    keys = find_keys(KeySource(sts_endpoint="http://127.0.0.1:1"), web_identity(tmp_path))
    (tmp_path / "token").unlink()
    with pytest.raises(ConfigurationError, match="AWS_WEB_IDENTITY_TOKEN_FILE"):
        pair(keys)


def role_keys(name: str, lifetime: timedelta = timedelta(hours=1)) -> dict[str, str]:
    expiration = (datetime.now(UTC) + lifetime).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "Code": "Success",
        "AccessKeyId": name,
        "SecretAccessKey": "s",
        "Token": "t",
        "Expiration": expiration,
    }


def test_an_instance_has_the_keys_of_its_role(httpserver: HTTPServer, tmp_path: Path) -> None:
    path = "/latest/meta-data/iam/security-credentials/"
    token = {"X-aws-ec2-metadata-token": "imds"}
    httpserver.expect_request("/latest/api/token", method="PUT").respond_with_data("imds")
    httpserver.expect_request(path, headers=token).respond_with_data("backup-role")
    httpserver.expect_request(f"{path}backup-role", headers=token).respond_with_json(role_keys("role"))
    environ = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": httpserver.url_for("/"), "HOME": str(tmp_path)}
    keys = find_keys(KeySource(), environ)
    assert keys.place == "instance role"
    assert pair(keys) == ("role", "s", "t")


def test_an_instance_role_is_not_mixed_up_with_a_web_identity(
    httpserver: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in web_identity(tmp_path).items():
        monkeypatch.setenv(name, value)
    httpserver.expect_request("/latest/api/token", method="PUT").respond_with_data("denied", status=403)
    environ = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": httpserver.url_for("/")}
    with pytest.raises(AccessDenied, match="metadata service refuses"):
        pair(find_keys(KeySource(mode="instance"), environ))
    assert httpserver.log[0][0].method == "PUT"


def test_a_machine_without_a_metadata_service_has_no_keys(tmp_path: Path, httpserver: HTTPServer) -> None:
    with proxied("127.0.0.1", httpserver.port) as proxy:
        proxy.refuse()
        environ = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://127.0.0.1:{proxy.port}", "HOME": str(tmp_path)}
        with pytest.raises(ConfigurationError, match="no keys for S3 are found") as caught:
            pair(find_keys(KeySource(), environ))
        assert "does not answer" in (caught.value.detail or "")
        with pytest.raises(StoreUnreachable):
            pair(find_keys(KeySource(mode="instance"), environ))


def test_who_has_set_no_keys_is_told_so_before_what_the_metadata_service_said(
    tmp_path: Path, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/latest/api/token", method="PUT").respond_with_data("denied", status=403)
    environ = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": httpserver.url_for("/"), "HOME": str(tmp_path)}
    with pytest.raises(ConfigurationError) as caught:
        pair(find_keys(KeySource(), environ))
    error = caught.value
    assert error.message == "no keys for S3 are found"
    for place in ("PGPROOF_S3_SECRET_KEY", "AWS_SECRET_ACCESS_KEY", f"{tmp_path}/.aws/credentials"):
        assert place in (error.hint or "")
    assert "metadata service refuses the instance's role (HTTP 403)" in (error.detail or "")


def test_an_instance_role_that_was_taken_away_is_not_told_as_keys_that_are_missing(
    tmp_path: Path, httpserver: HTTPServer
) -> None:
    path = "/latest/meta-data/iam/security-credentials/"
    httpserver.expect_ordered_request("/latest/api/token", method="PUT").respond_with_data("imds")
    httpserver.expect_ordered_request(path).respond_with_data("r")
    httpserver.expect_ordered_request(f"{path}r").respond_with_json(role_keys("role", timedelta(seconds=5)))
    httpserver.expect_ordered_request("/latest/api/token", method="PUT").respond_with_data("denied", status=403)
    environ = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": httpserver.url_for("/"), "HOME": str(tmp_path)}
    keys = find_keys(KeySource(), environ)
    assert pair(keys)[0] == "role"
    with pytest.raises(AccessDenied, match="refuses the instance's role"):
        pair(keys)


def test_a_container_has_the_keys_of_its_role(
    httpserver: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "authorization").write_text(TOKEN)
    environ = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": httpserver.url_for("/keys"),
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "authorization"),
    }
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    httpserver.expect_request("/keys", headers={"Authorization": TOKEN}).respond_with_json(role_keys("container"))
    keys = find_keys(KeySource(), environ | credentials_file(tmp_path))
    assert keys.place == "container role"
    assert pair(keys) == ("container", "s", "t")


def test_a_token_service_with_a_certificate_of_ones_own(tmp_path: Path) -> None:
    certificate = make_certificate("127.0.0.1")
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(certificate.authority)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (tmp_path / "server.pem").write_bytes(certificate.key + certificate.chain)
    context.load_cert_chain(tmp_path / "server.pem")
    environ = web_identity(tmp_path)
    with HTTPServer(host="127.0.0.1", ssl_context=context) as server:
        server.expect_request("/", method="POST").respond_with_data(sts_answer(1, timedelta(hours=1)))
        source = KeySource(sts_endpoint=server.url_for("/"))
        assert pair(find_keys(replace(source, ca_file=trusted), environ)) == ("web1", "s", "t")
        assert pair(find_keys(source, environ | {"SSL_CERT_FILE": str(trusted)})) == ("web1", "s", "t")
        with pytest.raises(StoreUnreachable):
            pair(find_keys(source, environ))


def test_a_file_of_certificates_that_is_none_is_told(tmp_path: Path) -> None:
    source = KeySource(sts_endpoint="https://127.0.0.1:1", ca_file=tmp_path / "missing.pem")
    with pytest.raises(ConfigurationError, match="the certificates in"):
        find_keys(source, web_identity(tmp_path))
