"""safetensors: weights alone, under the names of the network's own ``state_dict``."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from nervure.export.formats import Format, Job, Outputs, Runner

__all__ = ["dump", "safetensors_format"]


def dump(job: Job) -> bytes:
    """The network's weights, with names, preprocessing and origin as metadata."""
    from safetensors.torch import save

    # Cloned, because tied weights share memory, which the format refuses.
    weights = {name: value.detach().clone().contiguous() for name, value in job.deployed.net.state_dict().items()}
    return _in_order(save(weights, metadata={"format": "pt", **job.metadata}))


def _in_order(data: bytes) -> bytes:
    """The same file with its header's keys sorted: the library's order changes from call to call."""
    length = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    # Tensors begin at a multiple of 8.
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def load(path: Path, job: Job) -> Runner:
    """A copy of the network whose every weight was read from the file."""
    from safetensors.torch import load_file

    net = copy.deepcopy(job.deployed)
    with torch.no_grad():
        for value in net.net.state_dict().values():
            # A weight that the file lacks must show, and not be the one that the copy brought along.
            value.fill_(float("nan") if value.is_floating_point() else 0)
    net.net.load_state_dict(load_file(path), strict=True)

    def run(x: Tensor, mask: Tensor | None) -> Outputs:
        found: Outputs = net(x, mask)
        return found

    return run


def read(path: Path) -> Mapping[str, str]:
    """The file's metadata; no tensor is read."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


safetensors_format = Format(".safetensors", dump, load, read)
