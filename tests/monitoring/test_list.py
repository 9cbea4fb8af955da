"""`pgproof list` of a store that holds many: the newest of each target, and how many more there are."""

from __future__ import annotations

import pytest

from tests.monitoring.conftest import HOUR, Shelf


@pytest.fixture
def ids(shelf: Shelf) -> list[str]:
    """Of five backups of one target, newest first, beside two of another."""
    for age in (1, 2):
        shelf.put(age * HOUR, target="crm")
    return [shelf.put(age * HOUR).id for age in range(1, 6)]


def test_the_newest_are_shown_and_the_others_counted(shelf: Shelf, ids: list[str]) -> None:
    listed = shelf.pgproof("list", "--target", "shop", "--limit", "2")
    assert [line.split()[0] for line in listed.stdout.splitlines()[1:3]] == ids[:2]
    assert listed.stdout.endswith("\n3 older not shown: --limit 0 shows all\n")


def test_it_is_so_many_of_each_target(shelf: Shelf, ids: list[str]) -> None:
    found = shelf.pgproof("list", "--all", "--json", "--limit", "2").result
    assert [each["target"] for each in found["backups"]] == ["crm", "crm", "shop", "shop"]
    assert [each["id"] for each in found["backups"]][2:] == ids[:2]
    assert found["older"] == 3


@pytest.mark.parametrize("options", [(), ("--limit", "0")])
def test_else_all_are_shown_and_nothing_is_said(shelf: Shelf, ids: list[str], options: tuple[str, ...]) -> None:
    listed = shelf.pgproof("list", "--target", "shop", *options)
    assert [line.split()[0] for line in listed.stdout.splitlines()[1:]] == ids
