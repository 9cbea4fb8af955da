"""Settings of retention, stores and the guard: how they are written, whose word counts, and what cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from backup.domain.rules import Rules
from backup.errors import ConfigurationError
from backup.settings import Settings, load

DAY = timedelta(days=1)
TWO = {"PGPROOF_STORE": "/a,/b"}


def settings(tmp_path: Path, text: str = "", **environ: str) -> Settings:
    file = tmp_path / "pgproof.yaml"
    file.write_text(text)
    return load({}, environ, file=file)


def rules(found: Settings, name: str = "main") -> Rules:
    return found.rules(found.stores[name])


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, Rules(keep_within=DAY)),
        ({"PGPROOF_RETENTION": "keep-within=2d, daily=14"}, Rules(keep_within=2 * DAY, daily=14)),
        ({"PGPROOF_RETENTION": "off"}, Rules(off=True)),
        ({"PGPROOF_RETENTION": "OFF"}, Rules(off=True)),
    ],
)
def test_retention_is_written_in_one_variable(tmp_path: Path, environ: Mapping[str, str], wanted: Rules) -> None:
    assert rules(settings(tmp_path, PGPROOF_STORE="/a", **environ)) == wanted


@pytest.mark.parametrize("text", ["retention: off", "retention: 'off'", "retention: {off: true}"])
def test_yaml_s_own_idea_of_off_is_off(tmp_path: Path, text: str) -> None:
    if "{" in text:
        with pytest.raises(ConfigurationError, match="'False' is no rule"):
            settings(tmp_path, text)
    else:
        assert rules(settings(tmp_path, text, PGPROOF_STORE="/a")).off


def test_a_store_may_have_rules_of_its_own_as_a_map_or_in_one_line(tmp_path: Path) -> None:
    found = settings(
        tmp_path,
        """
retention: {keep-within: 24h, min-proven: 2}
stores:
  near: /a
  far: {url: /b, retention: {daily: 30}}
  archive: {url: /c, retention: "keep-last=3,timezone=Europe/Berlin"}
""",
    )
    assert rules(found, "near") == Rules(keep_within=DAY, min_proven=2)
    assert rules(found, "far") == Rules(daily=30)
    assert (rules(found, "archive").keep_last, str(rules(found, "archive").timezone)) == (3, "Europe/Berlin")


def test_a_flag_says_it_pair_by_pair() -> None:
    found = load({"retention": ("keep-last=3", "daily=2")}, {"PGPROOF_STORE": "/a", "PGPROOF_RETENTION": "off"})
    assert rules(found) == Rules(keep_last=3, daily=2)
    assert rules(load({"retention": ("off",)}, {"PGPROOF_STORE": "/a"})).off


@pytest.mark.parametrize(
    ("text", "environ", "told"),
    [
        ("", {"PGPROOF_RETENTION": "dayly=3"}, r"PGPROOF_RETENTION \(environment\): 'dayly' is no rule of retention"),
        ("", {"PGPROOF_RETENTION": "daily"}, "'daily' is not name=value"),
        ("retention: {daily: many}", {}, r"retention .*daily=many is not a number"),
        ("stores: {far: {url: /a, retention: {timezone: Mars}}}", {}, r"stores.far.retention .*'Mars' is no time zone"),
        ("", {"PGPROOF_STORE": "/a,/b/../a/"}, "stores.store2 is the same place as stores.main"),
        ("", {"PGPROOF_STORE": "/a,file:///a"}, "stores.store2 is the same place as stores.main"),
        ("", {"PGPROOF_STORE": "s3://bucket/a,s3://bucket/a/"}, "stores.store2 is the same place as stores.main"),
        ("", {"PGPROOF_RETENTION": "keep-within=200000w"}, "longer than a hundred years"),
        ("", {**TWO, "PGPROOF_STORES_REQUIRED": "0"}, "PGPROOF_STORES_REQUIRED .*must be at least 1"),
        ("", {**TWO, "PGPROOF_STORES_REQUIRED": "most"}, "PGPROOF_STORES_REQUIRED .*must be a whole number"),
        ("", {"PGPROOF_GUARD_SHRINK": "0"}, "PGPROOF_GUARD_SHRINK .*must be at least 1"),
        ("", {"PGPROOF_GUARD_SHRINK": "101"}, "PGPROOF_GUARD_SHRINK .*must be at most 100"),
        ("stores: {far: {url: /a, lock: governance}}", {}, "a lock, which only a bucket can keep"),
        (
            "retention: {daily: 3}",
            {"PGPROOF_STORE": "s3://bucket", "PGPROOF_S3_LOCK": "compliance"},
            "stores.main: a lock lasts as long as keep-within says, and no rule says it",
        ),
    ],
)
def test_what_cannot_be_is_told_with_its_name(tmp_path: Path, text: str, environ: Mapping[str, str], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        settings(tmp_path, text, **environ)


def test_all_stores_are_required_unless_a_number_says_how_many(tmp_path: Path) -> None:
    assert settings(tmp_path, **TWO).stores_required is None
    assert settings(tmp_path, **TWO, PGPROOF_STORES_REQUIRED="all").stores_required is None
    assert settings(tmp_path, **TWO, PGPROOF_STORES_REQUIRED="1").stores_required == 1


def test_a_lock_is_of_the_buckets_alone(tmp_path: Path) -> None:
    found = settings(tmp_path, PGPROOF_STORE="/a,s3://bucket", PGPROOF_S3_LOCK="governance")
    assert [store.lock for store in found.stores.values()] == ["off", "governance"]


def test_several_stores_are_chosen_all_or_one(tmp_path: Path) -> None:
    found = settings(tmp_path, "stores: {near: /a, far: /b}")
    assert [store.url for store in found.chosen_stores()] == ["/a", "/b"]
    assert [store.url for store in found.chosen_stores("far")] == ["/b"]


def test_the_address_of_a_store_as_a_flag_leaves_the_others_known() -> None:
    found = load({"stores": "/b"}, TWO)
    assert [store.url for store in found.chosen_stores("/b")] == ["/b"]
    assert len(found.stores) == 2
    assert len(load({"stores": "/c"}, TWO).stores) == 1
