"""What prune keeps and what it deletes, by the command and in real stores."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import pytest

from backup.demo.s3_server import S3Server
from backup.domain.ids import BackupId
from backup.ports import Store
from backup.stream.readers import BytesReader
from tests.care.conftest import DAY, HOUR, Shop, all_of, keys_of, make_old, moment_of, now, plant, reasons
from tests.failures.conftest import TARGET, s3_environ
from tests.fixtures.s3 import s3_store


def test_a_backup_ends_with_a_prune_of_what_no_rule_keeps(shop: Shop) -> None:
    (first,) = shop.ids()
    young, *old = plant(shop.store, first, 23 * HOUR, 25 * HOUR, 9 * DAY)
    made = shop.back_up()
    assert shop.ids() == [made, first, young]
    assert not any(shop.of(each).exists() for each in old)


def test_without_a_prune_nothing_is_deleted(shop: Shop) -> None:
    (first,) = shop.ids()
    old = plant(shop.store, first, 2 * DAY, 9 * DAY)
    made = shop("backup", "--no-prune")
    assert made.code == 0, made
    assert shop.ids() == [made.result["id"], first, *old]


def test_a_dry_run_tells_each_backup_with_the_reason_and_changes_nothing(shop: Shop) -> None:
    (first,) = shop.ids()
    young, old = plant(shop.store, first, HOUR, 2 * DAY)
    parts = str(BackupId.at(now() - 3 * DAY))
    shop.store.put(f"{TARGET}/{parts}/dump.pgc.zst.000", BytesReader(b"x" * 100))
    make_old(shop.of(parts), 2 * DAY)
    before = _seen(shop.folder)
    plan = shop.prune("--dry-run")
    assert reasons(plan) == {first: "the newest complete one, keep-within", young: "keep-within"}
    assert reasons(plan, keep=False) == {old: "no rule keeps it", parts: "has no manifest, and is older than a day"}
    assert plan["freed_bytes"] == 100 + sum(path.stat().st_size for path in shop.of(old).iterdir())
    assert _seen(shop.folder) == before
    told = shop.pgproof("prune", "--dry-run")
    assert all(each in told.stdout for each in (first, young, old, parts, "would go", "2 runs"))
    assert _seen(shop.folder) == before


def test_what_a_dry_run_said_is_what_a_prune_does(shop: Shop) -> None:
    (first,) = shop.ids()
    plant(shop.store, first, *(number * 7 * HOUR for number in range(1, 30)))
    rules = {"PGPROOF_RETENTION": "keep-last=2,daily=3,weekly=2,timezone=Europe/Berlin"}
    plan = shop.prune("--dry-run", **rules)
    done = shop.prune(**rules)
    assert done == {**plan, "done": True}
    assert shop.ids() == list(reasons(plan))
    assert shop.prune(**rules)["freed_bytes"] == 0


def test_a_calendar_keeps_the_newest_of_each_day(shop: Shop) -> None:
    (first,) = shop.ids()
    noon = moment_of(first).replace(hour=12, minute=0) - DAY
    days = {days: [now() - noon + days * DAY + hours * HOUR for hours in (0, 3)] for days in range(4)}
    newest = [plant(shop.store, first, *ages)[0] for ages in days.values()]
    shop.prune("--retention", "daily=4")
    assert shop.ids() == [first, *newest[:3]]


def test_the_newest_that_a_drill_has_proven_is_kept_whatever_the_rules_say(shop: Shop) -> None:
    (first,) = shop.ids()
    older, proven = plant(shop.store, first, 5 * DAY, 9 * DAY)
    drilled = shop("drill", proven)
    assert drilled.code == 0, drilled
    assert reasons(shop.prune("--retention", "keep-last=1"))[proven] == "proven 1"
    assert shop.ids() == [first, proven]
    assert not shop.of(older).exists()
    shop.prune("--retention", "keep-last=1", "--retention", "min-proven=0")
    assert shop.ids() == [first]


def test_each_store_is_pruned_by_its_own_rules(shop: Shop, tmp_path: Path, s3_server: S3Server, bucket: str) -> None:
    (first,) = shop.ids()
    far = s3_store(s3_server, bucket)
    plant(shop.store, first, now() - moment_of(first), to=far)
    for store in (shop.store, far):
        plant(store, first, 2 * DAY, 3 * DAY, 4 * DAY)
    both = shop.with_file(
        {
            "retention": {"keep-last": 2},
            "stores": {
                "near": {"url": str(shop.folder), "retention": {"keep-within": "12h"}},
                "far": {"url": f"s3://{bucket}"},
                "archive": {"url": str(tmp_path / "archive"), "retention": "off"},
            },
        }
    )
    made = both.back_up(**{**s3_environ(s3_server, bucket), "PGPROOF_STORE": None})
    assert shop.ids() == [made, first]
    assert shop.ids(**s3_environ(s3_server, bucket)) == [made, first]
    plant(shop.store, first, 2 * DAY, 3 * DAY)
    plant(far, first, 2 * DAY, 3 * DAY)
    pruned = both("prune", **{**s3_environ(s3_server, bucket), "PGPROOF_STORE": None}).result["prunings"]
    assert [(each["rules"], len(reasons(each, keep=False)), each["stopped"]) for each in pruned] == [
        ("keep-within=12h, min-proven=1", 2, None),
        ("keep-last=2, min-proven=1", 2, None),
        ("off", 0, "retention is off"),
    ]


@pytest.mark.parametrize("kind", ["directory", "s3"])
def test_what_pgproof_did_not_write_is_never_touched(shop: Shop, request: pytest.FixtureRequest, kind: str) -> None:
    (first,) = shop.ids()
    store: Store = shop.store
    environ: dict[str, str] = {}
    if kind == "s3":
        server: S3Server = request.getfixturevalue("s3_server")
        bucket: str = request.getfixturevalue("bucket")
        store, environ = s3_store(server, bucket), s3_environ(server, bucket)
        plant(shop.store, first, now() - moment_of(first), to=store)
    old, other = plant(store, first, 2 * DAY, 3 * DAY)
    foreign = [
        f"{TARGET}/{old}/README.txt",
        f"{TARGET}/{old}/notes/manifest.json",
        f"{TARGET}/{other}/dump.tar",
        f"{TARGET}/{other[:-1]}/manifest.json",
        f"{TARGET}/20250101T000000Z/hand-made.sql",
        f"{TARGET}/manifest.json",
        f"{TARGET}/old/dump.pgc.zst.000",
        "README.txt",
        "lost+found/x",
    ]
    for key in foreign:
        store.put(key, BytesReader(b"not ours"))
    foreign += [
        f"another/{each}/{name.rpartition('/')[2]}"
        for each in plant(store, first, 5 * DAY, target="another")
        for name in keys_of(store, f"another/{each}/")
    ]
    ended = shop("prune", **environ)
    assert ended.code == 0, ended
    (pruning,) = ended.result["prunings"]
    assert set(reasons(pruning, keep=False)) == {old, other}
    left = set(keys_of(store)) - set(keys_of(store, f"{TARGET}/{first}/"))
    assert left == set(foreign)
    assert all(content == b"not ours" for key, content in all_of(store).items() if key in foreign[:9])


def test_what_runs_have_left_is_swept_when_it_is_older_than_a_day(shop: Shop) -> None:
    (first,) = shop.ids()
    broken, failed, fresh = (str(BackupId.at(now() - days * DAY)) for days in (3, 4, 5))
    for run in (broken, failed, fresh):
        shop.store.put(f"{TARGET}/{run}/dump.pgc.zst.000", BytesReader(b"part"))
    shop.store.put(f"{TARGET}/{failed}/failed.json", BytesReader(b"{}"))
    for run in (broken, failed):
        make_old(shop.of(run), 25 * HOUR)
    folders = (shop.of(first), shop.of(fresh), shop.folder / TARGET, shop.of(fresh))
    making = [folder / f".partial-{uuid4().hex}" for folder in folders]
    for path in making:
        path.write_bytes(b"half")
    for path in making[:3]:
        make_old(path, 25 * HOUR)
    done = shop.prune()
    assert reasons(done, keep=False) == {
        broken: "has no manifest, and is older than a day",
        failed: "failed, and is older than a day",
    }
    assert reasons(done)[fresh] == "has no manifest, and is younger than a day"
    assert [(each["what"], each["bytes"]) for each in done["leftovers"]] == [("file in the making", 4)] * 3
    assert [path.exists() for path in making] == [False, False, False, True]
    assert not shop.of(broken).exists()
    assert not shop.of(failed).exists()
    assert (shop.of(fresh) / "dump.pgc.zst.000").read_bytes() == b"part"
    assert shop("verify", first).code == 0


def _seen(folder: Path) -> list[tuple[Path, int, int]]:
    """Everything in a folder, as it would show that something was done to it."""
    return [(path, (found := os.lstat(path)).st_mtime_ns, found.st_ino) for path in sorted(folder.rglob("*"))]
