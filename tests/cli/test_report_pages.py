"""The page of a report, whatever there is to say: nothing, too much, or names that would like to be markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.cli.output import cell
from backup.cli.report_html import as_html
from backup.cli.report_markdown import as_markdown
from backup.cli.report_pages import make_page
from backup.domain.drill import CheckResult, Drill
from backup.domain.manifest import Manifest, Status
from backup.domain.report import OVERWRITTEN_BY, Report, make_report
from tests.support.manifests import START, a_manifest

HOUR = timedelta(hours=1)
SVG_LINE, SVG_GAP, SVG_DRILL = ".//line", ".//rect[@class='gap']", ".//circle"


def a_report(
    backups: Sequence[Manifest] = (),
    drills: Mapping[str, Sequence[Drill]] | None = None,
    *,
    target: str = "shop",
    unreadable: Sequence[tuple[str, str]] = (),
    days: int = 90,
) -> Report:
    now = START + timedelta(days=days)
    return make_report(
        store="/backups",
        target=target,
        backups=backups,
        drills=drills or {},
        unreadable=unreadable,
        since=START,
        now=now,
        pgproof="0.1.0",
    )


def a_drill(backup: Manifest, *, text: str = "proven") -> Drill:
    return Drill(
        backup=backup.id,
        target=backup.target,
        time=backup.snapshot.time + HOUR,
        verdict="failed",
        text=text,
        checks=(CheckResult(name=text, passed=False, said=text),),
        seconds={text: 1.0},
        pgproof="0.1.0",
    )


def html_of(*reports: Report) -> ET.Element:
    return ET.fromstring(as_html(make_page(reports, every_target=len(reports) > 1)))  # noqa: S314 -- our own page


def text_of(element: ET.Element) -> str:
    return "".join(element.itertext())


def test_a_page_without_a_backup_says_so_everywhere() -> None:
    page = as_markdown(make_page([a_report(unreadable=[("20260101T000000Z", "damaged")])], every_target=False))
    for line in (
        "- backups: 0",
        "- newest: none",
        "- newest proven: none",
        "- worst possible loss: not known",
        "- drills: none",
        "- time to restore: not measured",
        "No drill ran in this time: nothing was proven.",
        "There is none in this time.",
        "| 20260101T000000Z | damaged |",
    ):
        assert line in page


def test_what_sets_backups_apart_is_counted_in_the_summary() -> None:
    plain, suspect, safety = (a_manifest(START + hours * HOUR) for hours in range(3))
    backups = [plain, replace(suspect, status=Status.SUSPECT, filtered=True), replace(safety, purpose="safety")]
    assert "- backups: 3, of which 1 filtered, 1 safety, 1 suspect\n" in as_markdown(
        make_page([a_report(backups)], every_target=False)
    )


def test_the_timeline_has_every_snapshot_gap_and_drill() -> None:
    backups = [a_manifest(START + timedelta(days=day)) for day in range(90) if day not in {40, 41, 60}]
    page = html_of(a_report(backups, {backups[0].id: [a_drill(backups[0])]}))
    counts = [len(page.findall(kind)) for kind in (SVG_LINE, SVG_GAP, SVG_DRILL)]
    assert counts == [87, 2, 1]


def test_a_timeline_of_many_snapshots_stays_small() -> None:
    backups = [a_manifest(START + hour * HOUR) for hour in range(90 * 24)]
    assert len(html_of(a_report(backups)).findall(SVG_LINE)) == 201


@pytest.mark.parametrize("days", [0, 1])
def test_everything_in_the_timeline_lies_within_it(days: int) -> None:
    backups = [a_manifest(START + hours * HOUR) for hours in (-30, -20, 0, 1, 20, 24, 30)]
    page = html_of(a_report(backups, {each.id: [a_drill(each)] for each in backups}, days=days))
    places = [
        float(each.attrib[name].rstrip("%")) for each in page.iter() for name in ("x1", "cx") if name in each.attrib
    ]
    assert places
    assert all(0 <= place <= 100 for place in places)


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_any_name_is_text_in_html_and_stands_there_as_it_is(name: str) -> None:
    backup = replace(a_manifest(), purpose="safety", labels={OVERWRITTEN_BY: name})
    drills = {backup.id: [a_drill(backup, text=name)]}
    report = a_report([backup], drills, target=name, unreadable=[("20260102T000000Z", name)])
    page = html_of(report, report)
    plain = html_of(*[a_report([replace(backup, labels={OVERWRITTEN_BY: "it"})], {backup.id: [a_drill(backup)]})] * 2)
    assert {each.tag for each in page.iter()} <= {each.tag for each in plain.iter()}
    assert [text_of(each) for each in page.iter("h2")][1] == cell(name)
    assert text_of(page).count(cell(name)) >= 5


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_no_name_breaks_a_table_of_markdown(name: str) -> None:
    report = a_report(unreadable=[("20260102T000000Z", name)], target="shop")
    lines = as_markdown(make_page([report], every_target=False)).split("\n")
    (row,) = (line for line in lines if line.startswith("| 20260102T000000Z"))
    bare = row.replace("\\\\", "").replace("\\|", "").replace("\\<", "")
    assert bare.count("|") == 3
    assert "<" not in bare
