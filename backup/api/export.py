"""The JSON document of the chosen rows, made on a thread of its own and handed over piece by piece.

Owns what becomes of the query when the one who asked for it goes: it is cancelled on the server.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from contextlib import closing, suppress

from backup.bootstrap import open_rows
from backup.errors import PgproofError
from backup.failures import Bug
from backup.logs import log
from backup.postgres.rows.cancelling import cancel_queries
from backup.postgres.rows.reading import RowsReading
from backup.settings import Settings
from backup.workflow.export import Exported, export

_AHEAD = 2
"""Pieces of 1 MiB at most that are made before the last one was taken."""
_AGAIN = 0.5
"""Seconds between two attempts to cancel: psql may just have connected, and have no query yet."""


class _Gone(Exception):
    """Nobody wants the rest."""


class Export:
    """One document on its way; `start` and `next` belong to the event loop that made it."""

    def __init__(self, settings: Settings) -> None:
        self.done = Exported()
        self._settings = settings
        self._session = f"pgproof export {secrets.token_hex(6)}"
        self._loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[bytes | PgproofError] = asyncio.Queue()
        self._room = threading.Semaphore(_AHEAD)
        self._gone = threading.Event()
        self.ended = threading.Event()
        self._rows: RowsReading | None = None

    async def start(self) -> bytes:
        """Begin; the first piece, once the choice was checked and the snapshot is held. Raises what `next` does."""
        threading.Thread(target=self._run, name="export", daemon=True).start()
        return await self.next()

    async def next(self) -> bytes:
        """The next piece; none at the end.

        Raises:
            PgproofError: the rows cannot be had whole.
        """
        piece = await self._pieces.get()
        if isinstance(piece, PgproofError):
            raise piece
        self._room.release()
        return piece

    def leave(self) -> None:
        """End it where it has not ended: cancel its query, let go of its snapshot. Returns at once."""
        self._gone.set()
        self._room.release()
        if not self.ended.is_set():
            threading.Thread(target=self._cancel, name="export cancelled", daemon=True).start()

    def _run(self) -> None:
        try:
            with open_rows(self._settings, session=self._session) as rows:
                self._rows = rows
                with closing(export(rows, self.done)) as pieces:
                    for piece in pieces:
                        self._hand_over(piece)
            self._hand_over(b"")
        except _Gone:
            pass
        except PgproofError as error:
            self._tell(error)
        except Exception as error:  # noqa: BLE001 -- whoever waits must hear of it
            self._tell(Bug(f"this is a bug of pgproof: {type(error).__name__}: {error}"))
        finally:
            self.ended.set()

    def _hand_over(self, piece: bytes) -> None:
        self._room.acquire()
        if self._gone.is_set():
            raise _Gone
        self._call(piece)

    def _tell(self, error: PgproofError) -> None:
        if not self._gone.is_set():
            log.warning("an export failed", reason=error.message, detail=error.detail)
            self._call(error)

    def _call(self, piece: bytes | PgproofError) -> None:
        with suppress(RuntimeError):  # the loop has ended, and so has whoever waited
            self._loop.call_soon_threadsafe(self._pieces.put_nowait, piece)

    def _cancel(self) -> None:
        while not self.ended.wait(_AGAIN if self._rows is None else 0):
            if self._rows is not None:
                try:
                    cancel_queries(self._rows, self._session)
                except PgproofError as error:
                    log.debug("not cancelled", reason=error.message)
            if self.ended.wait(_AGAIN):
                break
        log.info("an export was left, its query is cancelled", rows=sum(self.done.stats.values()))
