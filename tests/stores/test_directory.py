"""What is peculiar to a directory: rights, space, a machine that dies, and what is in it besides."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent

import pytest

from backup.errors import AccessDenied, ObjectMissing, StoreMissing, StoreUnreachable
from backup.stores.directory import DirectoryStore
from tests.support.streams import content


def in_a_child(root: Path, program: str) -> subprocess.CompletedProcess[str]:
    """Run a few lines that have a store in `root` in a process of its own."""
    preamble = """
        import os, resource, signal, sys
        from io import BytesIO
        from pathlib import Path
        from backup.errors import PgproofError
        from backup.stores.directory import DirectoryStore
        store = DirectoryStore(Path(sys.argv[1]))
    """
    return subprocess.run(
        [sys.executable, "-c", dedent(preamble) + dedent(program), str(root)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_folder_is_made_by_the_first_put(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "backups")
    assert list(store.list("")) == []
    with pytest.raises(ObjectMissing):
        store.stat("a")
    store.delete("a")
    assert not (tmp_path / "backups").exists()
    store.put("a", BytesIO(b"x"))
    assert (tmp_path / "backups" / "a").read_bytes() == b"x"


def test_a_folder_whose_parent_is_missing_is_a_disk_that_is_not_mounted(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "disk" / "backups")
    for call in (
        lambda: store.put("a", BytesIO(b"x")),
        lambda: store.open("a").__enter__(),
        lambda: store.stat("a"),
        lambda: list(store.list("")),
        lambda: store.delete("a"),
    ):
        with pytest.raises(StoreMissing, match="/disk") as caught:
            call()
        assert caught.value.status == 6
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreMissing, match="is not a directory"):
        DirectoryStore(tmp_path / "file").put("a", BytesIO(b"x"))


def test_a_folder_that_may_not_be_written_is_refused() -> None:
    """Permission bits do not bind root, but nobody may make a folder in /sys."""
    store = DirectoryStore(Path("/sys/pgproof-test"))
    with pytest.raises(AccessDenied, match="/sys/pgproof-test") as caught:
        store.put("a", BytesIO(b"x"))
    assert caught.value.status == 14
    assert caught.value.hint


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    root = tmp_path / "backups"
    found = in_a_child(
        root,
        """
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        try:
            store.put("shop/1/dump", BytesIO(bytes(5 << 20)))
        except PgproofError as error:
            print(error.code, error.status, error.message, "|", error.hint)
        """,
    )
    assert found.stdout.startswith(f"store_unreachable 6 no space for {root}/shop/1/")
    assert f"make room on the disk of {root}/shop/1" in found.stdout
    assert list(root.rglob("*")) == []


def test_a_put_that_is_killed_is_never_listed(tmp_path: Path) -> None:
    root = tmp_path / "backups"
    found = in_a_child(
        root,
        """
        class Killing:
            left = 3
            def read(self, size):
                if not self.left:
                    os.kill(os.getpid(), signal.SIGKILL)
                self.left -= 1
                return bytes(1 << 20)
        store.put("shop/1/before", BytesIO(b"x"))
        store.put("shop/1/dump", Killing())
        """,
    )
    assert found.returncode == -signal.SIGKILL
    store = DirectoryStore(root)
    assert [item.key for item in store.list("")] == ["shop/1/before"]
    with pytest.raises(ObjectMissing):
        store.stat("shop/1/dump")
    store.put("shop/1/dump", BytesIO(b"whole"))
    assert [item.key for item in store.list("shop/")] == ["shop/1/before", "shop/1/dump"]


def test_delete_takes_empty_folders_along_but_not_the_root(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "backups")
    store.put("shop/1/drills/a", BytesIO(b"x"))
    store.put("shop/1/b", BytesIO(b"x"))
    store.delete("shop/1/drills/a")
    assert not (tmp_path / "backups/shop/1/drills").exists()
    store.delete("shop/1/b")
    assert list((tmp_path / "backups").iterdir()) == []


def test_a_reader_keeps_the_file_that_it_opened(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put("a", BytesIO(b"old" * 1000))
    with store.open("a") as reader:
        assert reader.read(3) == b"old"
        store.put("a", BytesIO(b"new"))
        store.delete("a")
        assert reader.read(5000) == b"old" * 999


def test_a_folder_is_no_object(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put("a/b", BytesIO(b"x"))
    store.delete("a")
    assert [item.key for item in store.list("")] == ["a/b"]
    with pytest.raises(ObjectMissing), store.open("a"):
        pass


def test_a_name_that_is_too_long_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreUnreachable, match="too long"):
        DirectoryStore(tmp_path).put("x" * 300, BytesIO(b"x"))
    assert list(tmp_path.iterdir()) == []


def test_a_key_below_an_object_cannot_be_put(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put("a", BytesIO(b"x"))
    with pytest.raises(StoreUnreachable, match="not a directory"):
        store.put("a/b", BytesIO(b"x"))


def test_more_than_one_sync_comes_through(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    data = content(70 << 20)
    assert store.put("large", BytesIO(data)).bytes == len(data)
    assert (tmp_path / "large").read_bytes() == data


def test_several_threads_may_make_the_folder(tmp_path: Path) -> None:
    for number in range(50):
        store = DirectoryStore(tmp_path / str(number))
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key, store=store: store.put(f"{key}/a", BytesIO(b"x")), range(8)))
        assert len(list(store.list(""))) == 8


@pytest.mark.parametrize("root", [".", "backups", "./a/../backups"])
def test_the_root_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str) -> None:
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path)
    store = DirectoryStore(Path(root))
    store.put("x/b", BytesIO(b"x"))
    assert [item.key for item in store.list("x")] == ["x/b"]
    store.delete("x/b")
    assert list(store.list("")) == []


UNPRIVILEGED = """
    import _strptime  # while the interpreter's own files may be read
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
"""
LISTED = f"""{UNPRIVILEGED}
    try:
        print([item.key for item in store.list("")])
    except PgproofError as error:
        print(error.status, error.message)
"""


def test_what_a_file_system_keeps_at_its_root_is_not_ours(open_folder: Path) -> None:
    """An ext4 volume has `lost+found`, which only root may enter; a target's folder that is closed is told."""
    DirectoryStore(open_folder).put("shop/1/a", BytesIO(b"x"))
    (open_folder / "shop").chmod(0o755)
    (open_folder / "shop/1").chmod(0o755)
    (open_folder / "lost+found").mkdir(mode=0o000)
    assert in_a_child(open_folder, LISTED).stdout == "['shop/1/a']\n"
    (open_folder / "other").mkdir(mode=0o000)
    assert in_a_child(open_folder, LISTED).stdout == f"14 {open_folder}/other: permission denied\n"


def test_a_closed_folder_refuses_every_call_and_says_which_right_is_missing(open_folder: Path) -> None:
    """Whoever owns the folder, its rights say that nobody may enter."""
    root = open_folder / "backups"
    root.mkdir(mode=0o000)
    program = f"""{UNPRIVILEGED}
    for call in (
        lambda: store.put("a", BytesIO(b"x")),
        lambda: store.delete("shop/a"),
        lambda: store.open("a").__enter__(),
        lambda: store.stat("a"),
        lambda: list(store.list("")),
    ):
        try:
            call()
        except PgproofError as error:
            print(error.status, error.hint.partition("right to ")[2])
    """
    ran = in_a_child(root, program)
    assert ran.stderr == ""
    assert ran.stdout.splitlines() == ["14 write there"] * 2 + ["14 read there"] * 3


def test_links_that_lead_nowhere_and_pipes_are_no_objects(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put("shop/1/a", BytesIO(b"x"))
    folder = tmp_path / "shop/1"
    (folder / "circle").symlink_to("circle")
    (folder / "nowhere").symlink_to("missing")
    (folder / "self").symlink_to(".")
    (folder / "up").symlink_to("..")
    os.mkfifo(folder / "pipe")
    assert [item.key for item in store.list("")] == ["shop/1/a"]
    for name in ("circle", "nowhere", "self", "pipe"):
        with pytest.raises(ObjectMissing):
            store.stat(f"shop/1/{name}")
        with pytest.raises(ObjectMissing), store.open(f"shop/1/{name}"):
            pass


def test_what_cannot_be_looked_at_is_told_only_where_a_backup_may_be(open_folder: Path) -> None:
    root, closed = open_folder / "backups", open_folder / "closed"
    DirectoryStore(root).put("shop/20260101T000000Z/a", BytesIO(b"x"))
    for folder in (root, root / "shop", root / "shop/20260101T000000Z"):
        folder.chmod(0o755)
    closed.mkdir(mode=0o000)
    (root / "shop/other").symlink_to(closed / "x")
    (root / "shop/old").mkdir(mode=0o000)
    assert in_a_child(root, LISTED).stdout == "['shop/20260101T000000Z/a']\n"
    (root / "shop/20260102T000000Z").symlink_to(closed / "x")
    assert in_a_child(root, LISTED).stdout.startswith("14 ")


def test_a_folder_that_is_made_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An unmounted disk looks like a folder that is not made yet."""
    store = DirectoryStore(tmp_path / "backups")
    store.put("a", BytesIO(b"x"))
    store.put("b/c", BytesIO(b"x"))
    (event,) = capsys.readouterr().err.splitlines()
    assert event.endswith(f"store folder made path={tmp_path}/backups")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every account can get to, unlike pytest's."""
    with TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
        for closed in Path(folder).rglob("*"):
            if not closed.is_symlink():
                closed.chmod(0o755)
