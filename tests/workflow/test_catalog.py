"""What a store holds: found by id, as the latest, at a time; what is no backup is never listed."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from backup.domain.ids import AtOrBefore, BackupId, Latest, parse_reference
from backup.domain.marks import Mark
from backup.errors import IntegrityFailed, NotFound, UsageError
from backup.stream.readers import BytesReader, read_exactly
from backup.workflow.catalog import Catalog
from backup.workflow.runs import write_mark
from tests.contracts.memory_store import MemoryStore
from tests.support.manifests import START, a_manifest, stored

HOUR = timedelta(hours=1)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def catalog(store: MemoryStore) -> Catalog:
    """Backups of `shop` at 0, 1, 2 o'clock and two in the second of 3, one of `other` at 9."""
    for hours in range(4):
        stored(store, a_manifest(START + hours * HOUR))
    stored(store, a_manifest(START + 3 * HOUR, number=2))
    stored(store, a_manifest(START + 9 * HOUR, target="other"))
    return Catalog(store)


def moment(hours: float) -> AtOrBefore:
    return AtOrBefore(START + hours * HOUR)


def test_all_are_listed_oldest_first(catalog: Catalog) -> None:
    assert [backup.id for backup in catalog.listing("shop").backups] == [
        "20260101T000000Z",
        "20260101T010000Z",
        "20260101T020000Z",
        "20260101T030000Z",
        "20260101T030000Z-2",
    ]


def test_numbers_are_ordered_as_numbers(store: MemoryStore) -> None:
    for number in (1, 2, 10, 9):
        stored(store, a_manifest(number=number))
    numbers = [backup.id[16:] for backup in Catalog(store).listing("shop").backups]
    assert numbers == ["", "-2", "-9", "-10"]
    assert Catalog(store).find("shop", Latest()).id.endswith("-10")


@pytest.mark.parametrize("limit", [0, 1])
def test_the_newest_run_has_not_failed_where_a_newer_one_made_a_backup_that_cannot_be_read(
    store: MemoryStore, catalog: Catalog, limit: int
) -> None:
    write_mark(store, "shop/20260101T040000Z/failed.json", Mark(time=START, text="dump_failed", host="here"))
    assert str((catalog.listing("shop", limit=limit).failed or ("",))[0]) == "20260101T040000Z"
    store.put("shop/20260101T050000Z/manifest.json", BytesReader(b"damaged"))
    assert catalog.listing("shop", limit=limit).failed is None


def test_the_newest_run_has_failed_though_its_note_cannot_be_read(store: MemoryStore, catalog: Catalog) -> None:
    store.put("shop/20260101T040000Z/failed.json", BytesReader(b"["))
    run, mark = catalog.listing("shop").failed or pytest.fail("no failed run")
    assert (str(run), mark.text) == ("20260101T040000Z", "its note of why cannot be read")


def test_of_the_newest_alone_something_is_read(store: MemoryStore, catalog: Catalog) -> None:
    store.put("shop/20260101T000000Z/manifest.json", BytesReader(b"damaged"))
    listing = catalog.listing("shop", limit=2)
    assert [backup.id for backup in listing.backups] == ["20260101T030000Z", "20260101T030000Z-2"]
    assert (listing.older, listing.unreadable) == (3, ())
    assert [len(each.backups) for each in catalog.listings(limit=3)] == [1, 3]


def test_one_is_found_by_its_id(catalog: Catalog) -> None:
    for backup in catalog.listing("shop").backups:
        assert catalog.find("shop", parse_reference(backup.id)) == backup


def test_the_latest_is_found_and_no_other_targets(catalog: Catalog) -> None:
    assert catalog.find("shop", Latest()).id == "20260101T030000Z-2"
    assert catalog.find("other", Latest()).id == "20260101T090000Z"


@pytest.mark.parametrize(
    ("hours", "found"),
    [
        (0, "20260101T000000Z"),
        (0.9, "20260101T000000Z"),
        (1, "20260101T010000Z"),
        (3, "20260101T030000Z-2"),
        (99, "20260101T030000Z-2"),
    ],
)
def test_a_time_means_the_newest_at_or_before_it(catalog: Catalog, hours: float, found: str) -> None:
    assert catalog.find("shop", moment(hours)).id == found


def test_a_time_before_all_and_an_unknown_id_are_not_found(catalog: Catalog) -> None:
    with pytest.raises(NotFound, match="at or before 2025-12-31T23:00:00Z"):
        catalog.find("shop", moment(-1))
    with pytest.raises(NotFound, match="no backup 20250101T000000Z of shop in memory"):
        catalog.find("shop", BackupId.at(datetime.fromisoformat("2025-01-01T00:00Z")))


def test_an_unknown_target_is_not_found_and_the_others_are_named(catalog: Catalog) -> None:
    with pytest.raises(NotFound) as caught:
        catalog.find("shpo", Latest())
    assert caught.value.hint == "there are backups of other, shop"


def test_an_empty_store_says_how_to_make_one(store: MemoryStore) -> None:
    assert Catalog(store).targets() == ()
    for search in (lambda: Catalog(store).find("shop", Latest()), Catalog(store).only_target):
        with pytest.raises(NotFound) as caught:
            search()
        assert "pgproof backup" in (caught.value.hint or "")


def test_the_only_target_is_meant_where_there_is_one(catalog: Catalog, store: MemoryStore) -> None:
    with pytest.raises(UsageError, match="holds 2 targets: other, shop"):
        catalog.only_target()
    store.delete("other/20260101T090000Z/manifest.json")
    assert catalog.only_target() == "shop"


def test_a_target_whose_name_begins_like_another_is_another(store: MemoryStore) -> None:
    stored(store, a_manifest(target="shop2"))
    with pytest.raises(NotFound):
        Catalog(store).find("shop", Latest())


def test_objects_without_a_manifest_are_no_backup(catalog: Catalog, store: MemoryStore) -> None:
    for key in (
        "shop/20260201T000000Z/dump.pgc.000",
        "shop/manifest.json",
        "shop/x/manifest.json",
        "manifest.json",
        "shop/20260201T000000Z/drills/manifest.json",
        "shop/20260201T000000Z-1/manifest.json",
    ):
        store.put(key, BytesReader(b"{}"))
    assert len(catalog.listing("shop").backups) == 5
    assert catalog.listing("shop").unreadable == ()
    assert catalog.targets() == ("other", "shop")


def test_an_unreadable_manifest_is_listed_as_such_and_hides_no_other(catalog: Catalog, store: MemoryStore) -> None:
    store.put("shop/20260101T010000Z/manifest.json", BytesReader(b"{"))
    listing = catalog.listing("shop")
    assert len(listing.backups) == 4
    ((name, error),) = listing.unreadable
    assert name == "20260101T010000Z"
    assert "shop/20260101T010000Z/manifest.json" in error.message
    with pytest.raises(IntegrityFailed):
        catalog.find("shop", parse_reference("20260101T010000Z"))
    assert catalog.find("shop", Latest()).id == "20260101T030000Z-2"


def test_to_pass_over_a_newer_one_that_cannot_be_read_is_said(
    catalog: Catalog, store: MemoryStore, capsys: pytest.CaptureFixture[str]
) -> None:
    store.put("shop/20260101T080000Z/manifest.json", BytesReader(b"{"))
    assert catalog.find("shop", Latest()).id == "20260101T030000Z-2"
    assert "20260101T080000Z" in capsys.readouterr().err
    catalog.find("shop", moment(7))
    assert capsys.readouterr().err == ""


def test_a_store_with_unreadable_manifests_only_says_so(store: MemoryStore) -> None:
    store.put("shop/20260101T010000Z/manifest.json", BytesReader(b'{"format": 2}'))
    with pytest.raises(IntegrityFailed, match="format 2"):
        Catalog(store).find("shop", Latest())


def test_a_part_is_read_checked(catalog: Catalog, store: MemoryStore) -> None:
    backup = catalog.find("shop", Latest())
    (part,) = backup.parts
    with catalog.open_part(backup, part) as reader, catalog.decoded(part, reader) as content:
        assert content.read(100) == b"x" * 30
    store.put(f"shop/{backup.id}/dump.pgc.000", BytesReader(b"y" * 30))
    with catalog.open_part(backup, part) as reader, pytest.raises(IntegrityFailed, match="was changed"):
        read_exactly(reader, 1000)
