"""docs/monitoring.md says which figures and which alerts there are, and where each comes from."""

from __future__ import annotations

import re
import subprocess

from backup.domain.metrics import DEFINITIONS, Definition
from tests.chart.test_monitoring import rules
from tests.chart.values import read_values
from tests.docs.pages import DOCS, blocks

PAGE = DOCS / "monitoring.md"


def source(definition: Definition) -> str:
    if definition.live:
        return "watch"
    return "runs" if "action" in definition.labels else "both"


def test_the_figures_on_the_page_are_those_of_the_program() -> None:
    written = re.findall(r"^\| `(pgproof_\w+)` \| ([\w, ]+) \| (\w+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    assert written == [(name, ", ".join(each.labels), source(each), each.text) for name, each in DEFINITIONS.items()]


def test_names_and_units_are_as_prometheus_wants_them() -> None:
    for name in DEFINITIONS:
        assert re.fullmatch(r"pgproof_[a-z]+(_[a-z]+)*", name)
        assert not name.endswith(("_total", "_count", "_sum", "_minutes", "_ms"))
        assert ("timestamp" in name) <= name.endswith("_timestamp_seconds")


def test_the_alerts_on_the_page_are_those_of_the_chart() -> None:
    written = re.findall(r"^\| `(Pgproof\w+)` \| [^|]+ \| (?:`([\w.]+)` )?\|$", PAGE.read_text(), re.MULTILINE)
    assert [name for name, _ in written] == [each["alert"] for each in rules()]
    assert {value for _, value in written if value} <= read_values().keys()


def test_the_lines_for_nagios_turn_exit_codes_into_its_own() -> None:
    (lines,) = (
        text for text in blocks(PAGE)["pgproof check"].split("pgproof check --max-age 2h --max-proven-age 8d\n") if text
    )
    for code, wanted in ((0, 0), (16, 2), (6, 3), (9, 3)):
        script = f"pgproof() {{ return {code}; }}\n{lines}"
        assert subprocess.run(["/bin/sh", "-c", script], check=False).returncode == wanted
