"""The stores that a command works on, each with its settings. Owns how the reading commands choose among several."""

from __future__ import annotations

from dataclasses import dataclass

from backup.bootstrap import make_store
from backup.cli.options import Invocation
from backup.domain.rules import Rules, parse_rules
from backup.ports import Store
from backup.settings import StoreSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A store, and what the settings say of it."""

    store: Store
    settings: StoreSettings
    rules: Rules


def places(invocation: Invocation) -> tuple[Place, ...]:
    """The store that was chosen, or all of them; what --retention says is said of all."""
    found = []
    settings = invocation.settings
    for each in invocation.stores:
        rules = parse_rules(settings.retention) if invocation.is_said("retention") else settings.rules(each)
        found.append(Place(store=make_store(each, keep=rules.keep_within), settings=each, rules=rules))
    return tuple(found)
