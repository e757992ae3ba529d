"""``.pt2``: a torch.export archive, which PyTorch runs without the code that defined the network."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from nervure.export.formats import Format, Job, Outputs, Runner
from nervure.export.graph import capture, quiet

__all__ = ["METADATA", "dump", "pt2_format"]

METADATA = "nervure.json"


def dump(job: Job) -> bytes:
    """The network as an archive with a dynamic batch axis, and the metadata as JSON inside."""
    program = capture(job)
    file = io.BytesIO()
    with quiet():
        torch.export.save(program, file, extra_files={METADATA: json.dumps(dict(job.metadata))})
    return file.getvalue()


def load(path: Path, job: Job) -> Runner:
    """The archive, loaded by PyTorch."""
    with quiet():
        net = torch.export.load(path).module()

    def run(x: Tensor, mask: Tensor | None) -> Outputs:
        found: Outputs = net(x) if mask is None else net(x, mask)
        return dict(found)

    return run


def read(path: Path) -> Mapping[str, str]:
    """The metadata that the archive, a zip file, holds; nothing of the network is loaded."""
    with zipfile.ZipFile(path) as archive:
        found = [name for name in archive.namelist() if name.endswith(f"extra/{METADATA}")]
        held: dict[str, str] = json.loads(archive.read(found[0])) if found else {}
    return held


pt2_format = Format(".pt2", dump, load, read)
