"""The outcome in a file, for whoever started the process: Kubernetes shows it as the pod's termination message."""

from __future__ import annotations

import os
from pathlib import Path

from backup.logs import log, redact

VARIABLE = "PGPROOF_TERMINATION_LOG"
_LONGEST = 4096
"""Bytes that Kubernetes keeps."""


def leave(text: str) -> None:
    """Write the outcome, without secrets, into the file that the environment names, if it names one."""
    file = os.environ.get(VARIABLE)
    if not file:
        return
    data = redact(text).encode(errors="replace")[:_LONGEST].decode(errors="ignore")
    try:
        Path(file).write_text(data, encoding="utf-8")
    except OSError as error:
        log.warning("the outcome could not be left", file=file, reason=error.strerror or str(error))
