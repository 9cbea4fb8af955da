"""The parts of one run on their way into the stores, and the manifest that makes a backup of them."""

from __future__ import annotations

from dataclasses import replace

from backup.domain.manifest import MANIFEST_LIMIT, MANIFEST_NAME, Manifest, Part, Role, Volume
from backup.domain.marks import HOLD, Mark
from backup.errors import ConfigurationError, PartUnavailable
from backup.logs import log
from backup.ports import PartSource
from backup.stream.pace import Pace
from backup.stream.readers import ByteReader, BytesReader
from backup.stream.volumes import Encoding, Progress, write_part
from backup.workflow.copies import Copies
from backup.workflow.runs import host


class Upload:
    """The parts of one run on their way into the stores."""

    def __init__(
        self, copies: Copies, prefix: str, encoding: Encoding, progress: Progress, pace: Pace | None = None
    ) -> None:
        self._copies = copies
        self._prefix = prefix
        self._encoding = encoding
        self._progress = progress
        self._pace = pace

    def carry(self, source: PartSource, warnings: list[str], *, among: int = 1) -> Part | None:
        """Write one part; an optional one that its source cannot give becomes a warning and None.

        May be called from several threads; `among` so many parts that are written at a time the compressor's threads
        are divided.
        """
        encoding = self._encoding
        if among > 1:
            encoding = replace(encoding, threads=max(encoding.threads // among, 1))
        pace = None if source.role is Role.PROOF else self._pace  # that is not read from the server any more
        try:
            with source.open() as reader:
                written = write_part(
                    source.name, reader, put=self._put, encoding=encoding, progress=self._progress, pace=pace
                )
        except PartUnavailable as error:
            if not source.optional:
                raise
            self._copies.take_back(self._prefix + source.name)
            warnings.append(f"no {source.role.value}: {error.message}")
            log.warning("left out", part=source.role.value, reason=error.message, detail=error.detail)
            return None
        return Part(
            name=source.name,
            role=source.role,
            volumes=tuple(Volume(name=v.name, bytes=v.bytes, sha256=v.sha256) for v in written.volumes),
            raw_bytes=written.raw_bytes,
            compression="zstd" if self._encoding.compression == "zstd" else "none",
            encryption="age" if self._encoding.recipients else None,
            seconds=dict(written.seconds),
        )

    def commit(self, manifest: Manifest) -> None:
        """Write the manifest: from here on the backup exists. It is never overwritten.

        Raises:
            IntegrityFailed: there is one already, another run took the same id.
            ConfigurationError: there are more volumes than a manifest can hold.
        """
        data = manifest.to_json()
        if len(data) > MANIFEST_LIMIT:
            raise ConfigurationError("the backup has too many volumes", hint="set a larger PGPROOF_VOLUME_SIZE")
        if manifest.purpose == "safety":
            hold = Mark(time=manifest.finished, text="taken before a restore overwrote it", host=host())
            self._put(HOLD, BytesReader(hold.to_json()))
        self._copies.each(lambda copy: copy.commit(self._prefix + MANIFEST_NAME, data))

    def _put(self, name: str, data: ByteReader) -> int:
        return self._copies.put(self._prefix + name, data)
