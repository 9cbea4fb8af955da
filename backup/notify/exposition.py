"""Figures as Prometheus reads them: as text, and as the file of the node exporter. Owns that format and that file."""

from __future__ import annotations

import os
import secrets
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector, CollectorRegistry

from backup.domain.metrics import DEFINITIONS, Sample
from backup.errors import NotificationFailed

CONTENT_TYPE = CONTENT_TYPE_LATEST
_MODE = 0o644
"""The node exporter is somebody else."""
_MOST = 16 << 20
"""Bytes of an old file that are read; nobody has as many figures. A guess."""


class _Figures(Collector):
    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples

    def collect(self) -> Iterator[Metric]:
        found = defaultdict(list)
        for sample in self._samples:
            found[sample.name].append(sample)
        for name, definition in DEFINITIONS.items():
            if name in found:
                family = GaugeMetricFamily(name, definition.text, labels=definition.labels)
                for sample in found[name]:
                    family.add_metric([sample.labels[label] for label in definition.labels], sample.value)
                yield family


def registry_of(samples: Sequence[Sample]) -> CollectorRegistry:
    """The samples as their library takes them."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(samples))
    return registry


def render(samples: Sequence[Sample]) -> bytes:
    """The samples as text, in the order of their definitions."""
    return generate_latest(registry_of(samples))


def write_file(file: Path, samples: Sequence[Sample]) -> None:
    """Put samples into a file, for all to read, whole or not at all.

    What it says already of other runs, other targets and other stores stays.

    Raises:
        NotificationFailed: it cannot be written.
    """
    text = render([*_others(file, samples), *samples])
    passing = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        try:
            with passing.open("xb") as opened:
                opened.write(text)
                opened.flush()
                os.fsync(opened.fileno())
                os.fchmod(opened.fileno(), _MODE)
            passing.replace(file)
        finally:
            with suppress(OSError):
                passing.unlink(missing_ok=True)
    except OSError as error:
        raise NotificationFailed(
            f"the metrics cannot be written to {file}",
            detail=error.strerror,
            hint="check PGPROOF_METRICS_FILE: its folder must be there, and be ours to write",
        ) from error


Group = tuple[str, str, str]


def _group(sample: Sample) -> Group:
    """What is replaced as a whole: a store's own figures, what it has of a target, a kind of run of a target."""
    return (sample.labels.get("store", ""), sample.labels.get("target", ""), sample.labels.get("action", ""))


def _others(file: Path, samples: Sequence[Sample]) -> list[Sample]:
    """What a file says that the samples do not say anew; nothing where it cannot be read."""
    new = {_group(sample) for sample in samples}
    try:
        with file.open(encoding="utf-8") as opened:
            text = opened.read(_MOST)
        families = list(text_string_to_metric_families(text))
    except (OSError, ValueError):
        return []
    old = [
        Sample(name=each.name, labels=each.labels, value=each.value) for family in families for each in family.samples
    ]
    return [each for each in old if _is_ours(each) and _group(each) not in new]


def _is_ours(sample: Sample) -> bool:
    definition = DEFINITIONS.get(sample.name)
    return definition is not None and set(definition.labels) == sample.labels.keys()
