"""The manifest: written and read, by this version and by others."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.domain.manifest import Database, Manifest, Part, Role, SnapshotMark, Status, Tool, Volume
from backup.errors import IntegrityFailed
from tests.support.manifests import a_manifest

texts = st.text(st.characters(codec="utf-8"), max_size=20)
sizes = st.integers(min_value=0, max_value=1 << 60)
times = st.datetimes(timezones=st.just(UTC))
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
versions = st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,2}", fullmatch=True)
hashes = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
volumes = st.builds(Volume, name=names, bytes=sizes, sha256=hashes)
parts = st.builds(
    Part,
    name=names,
    role=st.sampled_from(Role),
    volumes=st.lists(volumes, max_size=4).map(tuple),
    raw_bytes=sizes,
    compression=st.sampled_from(["zstd", "none"]),
    encryption=st.none(),
)
manifests = st.builds(
    Manifest,
    format=st.just(1),
    id=texts,
    target=texts,
    status=st.sampled_from(Status),
    tool=st.builds(Tool, engine=st.sampled_from(["pgdump", "rows"]), name=texts, version=versions),
    database=st.builds(
        Database, name=texts, bytes=sizes, server_version=versions, encoding=texts, standby=st.booleans()
    ),
    snapshot=st.builds(SnapshotMark, time=times, lsn=texts),
    started=times,
    finished=times,
    parts=st.lists(parts, max_size=3).map(tuple),
    pgproof=texts,
    filtered=st.booleans(),
    seconds=st.dictionaries(texts, st.floats(allow_nan=False, allow_infinity=False), max_size=3),
    labels=st.dictionaries(texts, texts, max_size=3),
    warnings=st.lists(texts, max_size=3).map(tuple),
)


@given(manifests)
def test_a_manifest_is_read_as_it_was_written(manifest: Manifest) -> None:
    assert Manifest.from_json(manifest.to_json(), where="here") == manifest


def test_it_is_text_for_people_with_its_format_first() -> None:
    text = a_manifest(name="caf\u00e9").to_json().decode()
    assert text.startswith('{\n  "format": 1,\n')
    assert "caf\u00e9" in text


def test_keys_that_are_not_known_are_ignored_at_every_depth() -> None:
    manifest = a_manifest()
    data = json.loads(manifest.to_json())
    data["later"] = {"a": 1}
    data["database"]["later"] = [1]
    data["parts"][0]["volumes"][0]["later"] = None
    assert Manifest.from_json(json.dumps(data).encode(), where="here") == manifest


def test_keys_that_came_later_may_be_missing() -> None:
    data = json.loads(a_manifest().to_json())
    for key in ("filtered", "seconds", "labels", "warnings"):
        del data[key]
    found = Manifest.from_json(json.dumps(data).encode(), where="here")
    assert (found.filtered, found.seconds, found.labels, found.warnings) == (False, {}, {}, ())


def test_a_newer_format_asks_for_a_newer_pgproof() -> None:
    newer = json.dumps({"format": 2, "what": "nobody knows"}).encode()
    with pytest.raises(IntegrityFailed, match=r"shop/x has format 2, .* up to 1") as caught:
        Manifest.from_json(newer, where="shop/x")
    assert caught.value.hint == "use a newer pgproof"


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b"{}", b'{"format": "one"}', b'{"format": 1}', b"\xff\xfe", b"[" * 100_000]
)
def test_damage_is_an_integrity_failure_that_names_the_manifest(data: bytes) -> None:
    with pytest.raises(IntegrityFailed, match="the manifest shop/x"):
        Manifest.from_json(data, where="shop/x")


def test_every_cut_is_noticed() -> None:
    data = a_manifest().to_json()
    for size in range(len(data) - 2):
        with pytest.raises(IntegrityFailed):
            Manifest.from_json(data[:size], where="here")


def test_sums_and_majors_are_of_the_parts() -> None:
    manifest = a_manifest()
    doubled = replace(manifest, parts=(*manifest.parts, replace(manifest.parts[0], role=Role.GLOBALS)))
    assert doubled.stored_bytes == 2 * manifest.stored_bytes == 2 * 30
    assert doubled.raw_bytes == 2 * manifest.raw_bytes
    assert doubled.parts_of(Role.DUMP) == manifest.parts
    assert (manifest.tool.major, manifest.database.server_major) == (18, 15)
    assert replace(manifest, finished=datetime(2026, 1, 1, 0, 1, tzinfo=UTC)).duration == 60
