"""Networks as files that run elsewhere, with a parity gate and measured latency."""

from nervure.export.deployed import Deployed
from nervure.export.exported import Exported, metadata, write
from nervure.export.formats import Format, Job, formats
from nervure.export.latency import Timing, compare_latency, latency_table, measure

__all__ = [
    "Deployed",
    "Exported",
    "Format",
    "Job",
    "Timing",
    "compare_latency",
    "formats",
    "latency_table",
    "measure",
    "metadata",
    "write",
]
