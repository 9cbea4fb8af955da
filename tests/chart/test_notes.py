"""The lines that the chart tells people to type name objects that are there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.render import CI_FILES, JOB_ONLY, NAMESPACE, RELEASE, minimal, render
from tests.chart.values import CHART

INSTALLABLE = [each for each in CI_FILES if each != JOB_ONLY]
_KUBECTL = f"kubectl --namespace {NAMESPACE} "


@pytest.fixture(scope="session")
def chart_with_notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart, with a template that holds its notes as one string: helm shows notes only where a cluster answers."""
    chart = tmp_path_factory.mktemp("notes") / "pgproof"
    shutil.copytree(CHART, chart)
    (chart / "templates" / "NOTES.txt").rename(chart / "notes.txt")
    (chart / "templates" / "notes.yaml").write_text(
        'kind: Notes\ntext: {{ tpl (.Files.Get "notes.txt") . | toJson }}\n'
    )
    return chart


def notes(values: dict[str, Any], chart: Path) -> str:
    rendered = render(values, only="templates/notes.yaml", chart=chart)
    assert rendered.code == 0, rendered.stderr
    return str(rendered.objects[0]["text"])


@pytest.mark.parametrize("file", INSTALLABLE, ids=lambda file: file.stem)
def test_every_command_of_the_notes_names_what_is_there(file: Path, chart_with_notes: Path) -> None:
    values = yaml.safe_load(file.read_text())
    objects = render(values)
    made: set[str] = set()
    lines = [line.strip() for line in notes(values, chart_with_notes).splitlines() if line.startswith("  ")]
    more = any(name.endswith("-sync") for name in objects.of("CronJob")) + ("mydb-serve" in objects.of("Service"))
    assert len(lines) == 7 + more
    for typed in lines:
        line = re.sub(r"^until (.*); do sleep 1; done$", r"\1", typed)  # a pod needs a moment to start
        if line == f"helm test {RELEASE} --namespace {NAMESPACE}":
            continue
        assert line.startswith(_KUBECTL)
        said = line.removeprefix(_KUBECTL)
        if create := re.fullmatch(r"create job (\S+) --from=cronjob/(\S+)", said):
            assert create[2] in objects.of("CronJob")
            assert len(create[1]) <= 63
            made.add(create[1])
        elif logs := re.fullmatch(r"logs --follow job/(\S+)", said):
            assert logs[1] in made
        elif forward := re.fullmatch(r"port-forward service/(\S+) (\d+)", said):
            (port,) = objects.of("Service")[forward[1]]["spec"]["ports"]
            assert port["port"] == int(forward[2])
        elif edit := re.fullmatch(r"edit configmap (\S+)", said):
            assert edit[1] in objects.of("ConfigMap")
        else:
            pytest.fail(f"no test knows this line: {line}")


@pytest.mark.parametrize("file", INSTALLABLE, ids=lambda file: file.stem)
def test_all_that_runs_by_itself_is_named_with_its_schedule(file: Path, chart_with_notes: Path) -> None:
    values = yaml.safe_load(file.read_text())
    said = notes(values, chart_with_notes)
    for name, each in render(values).of("CronJob").items():
        spec = each["spec"]
        if name.endswith("-backup"):
            (line,) = [line for line in said.splitlines() if line.startswith(f"{name} ")]
            assert f'"{spec["schedule"]}"' in line
            assert spec["timeZone"] in line
            assert ("suspended" in line) is spec["suspend"]
        elif name.endswith("-drill"):
            lines = [line for line in said.splitlines() if line.startswith(f"{name} ")]
            assert [spec["schedule"] in line for line in lines] == [True] * (not spec["suspend"])
        elif name.endswith("-sync"):
            (line,) = [line for line in said.splitlines() if line.startswith(f"{name} ")]
            assert ("suspended" in line, spec["schedule"] in line) == (spec["suspend"], True)


def test_the_notes_warn_of_what_is_off_and_are_quiet_otherwise(chart_with_notes: Path) -> None:
    quiet = notes(minimal(webhook={"existingSecret": "a"}, drill={"enabled": True}), chart_with_notes)
    assert "WARNING" not in quiet
    assert "Nobody" not in quiet
    assert "Nobody tries whether the backups restore: set drill.enabled." in notes(minimal(), chart_with_notes)
    secret = {"existingSecret": "a"}
    one = {"databases": {"a": secret, "b": {**secret, "drill": {"enabled": True}}}, "store": {"url": "s3://backups"}}
    assert "the backups of a restore: set databases.a.drill.enabled." in notes(one, chart_with_notes)
    assert "the backups of b restore" not in notes(one, chart_with_notes)
    assert "Nobody is told when a backup fails" in notes(minimal(), chart_with_notes)
    for inline in (
        minimal(database={"url": "postgresql://a:b@c/d"}),
        minimal(store={"url": "s3://backups", "accessKey": "a", "secretKey": "b"}),
        minimal(webhook={"url": "https://a"}),
        {"databases": {"a": {"url": "postgresql://a:b@c/d"}}, "store": {"url": "s3://backups"}},
    ):
        assert "WARNING: passwords or keys stand in the values" in notes(inline, chart_with_notes)


def test_the_notes_say_where_the_page_is_and_what_is_open_on_the_way(chart_with_notes: Path) -> None:
    def said(ingress: dict[str, Any], **more: object) -> str:
        ingress = {"enabled": True, "host": "b.example.com", **ingress}
        serve = {"enabled": True, "tokens": {"existingSecret": "a"}, "ingress": ingress, **more}
        return notes(minimal(serve=serve), chart_with_notes)

    sound = said({"tlsSecret": "b"}, proxies=["10.0.0.0/8"])
    assert "The status page, at https://b.example.com/, or at http://127.0.0.1:8433/ while this runs:" in sound
    assert "plain text" not in sound
    assert "set serve.proxies" in said({"tlsSecret": "b"})
    assert "Tokens go over the ingress in plain text" in said({}, proxies=["::1"])
    # https behind the controller says nothing of the way to it
    assert "Tokens go over the ingress in plain text" in said({}, tls={"existingSecret": "c"})


def test_the_notes_show_no_secret(chart_with_notes: Path) -> None:
    values = yaml.safe_load((CHART / "ci" / "trying-out-values.yaml").read_text())
    said = notes(values, chart_with_notes)
    for secret in (values["database"]["url"], values["store"]["secretKey"], values["webhook"]["secret"]):
        assert secret not in said
