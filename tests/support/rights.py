"""The command without root's rights. Owns how they are given up."""

from __future__ import annotations

import os
import subprocess

from tests.support.command import Command
from tests.support.services import missing


def ordinary(command: Command) -> Command:
    """The same command, without root's power to read and write where it may not."""
    if os.geteuid() != 0:
        return command
    try:
        subprocess.run(["setpriv", "--version"], capture_output=True, check=True)
    except OSError:
        missing("there is no setpriv to give up the rights of root")
    return command.behind("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all", "--")
