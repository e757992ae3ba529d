"""The file formats that a network can be written in: one row, one file each."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from nervure.errors import MissingExtra
from nervure.export.deployed import Deployed
from nervure.registry import Table

__all__ = ["Format", "Job", "Outputs", "Runner", "extra", "formats", "get", "names"]

Outputs = dict[str, Tensor]
Runner = Callable[[Tensor, Tensor | None], Outputs]


@dataclass(frozen=True, eq=False)
class Job:
    """What a format is given: the network to write, the shape of its input, and what to write beside it.

    ``deployed`` is in evaluation mode on the CPU and belongs to the job; ``in_shape`` is the shape of one
    sample; ``masked`` tells whether a (n, time) mask is a second input; ``metadata`` is text by key.
    """

    deployed: Deployed
    in_shape: tuple[int, ...]
    masked: bool
    outputs: tuple[str, ...]
    metadata: Mapping[str, str]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return ("x", "mask") if self.masked else ("x",)

    def example(self) -> tuple[Tensor, ...]:
        """Inputs of batch 2 to trace with: zeros, because a file keeps its example and no sample may leak."""
        x = torch.zeros(2, *self.in_shape)
        return (x, torch.ones(2, self.in_shape[-1], dtype=torch.bool)) if self.masked else (x,)


@dataclass(frozen=True)
class Format:
    """One file format.

    Parameters
    ----------
    suffix : str
        How its files end, with the dot.
    dump : callable
        ``dump(job) -> bytes``: the whole file.
    load : callable
        ``load(path, job) -> runner``; ``runner(x, mask)`` takes stored values and gives the outputs by name,
        computed by the file alone. The parity gate runs it.
    read : callable
        ``read(path) -> metadata``: the text by key that the file holds.

    Examples
    --------
    >>> formats.names()
    ('onnx', 'pt2', 'safetensors')
    >>> formats.get("safetensors").suffix
    '.safetensors'
    """

    suffix: str
    dump: Callable[[Job], bytes]
    load: Callable[[Path, Job], Runner]
    read: Callable[[Path], Mapping[str, str]]


formats: Table[Format] = Table(
    "export format",
    {
        "onnx": ("nervure.export.onnx_file:onnx_format", "ONNX, for ONNX Runtime and many others", "onnx.ai"),
        "pt2": (
            "nervure.export.pt2_file:pt2_format",
            "torch.export archive, for PyTorch without our code",
            "PyTorch",
        ),
        "safetensors": (
            "nervure.export.safetensors_file:safetensors_format",
            "weights alone, with what is needed to rebuild",
            "Hugging Face",
        ),
    },
    group="nervure.export_formats",
)
names = formats.names
get = formats.get


def extra(package: str, job: str) -> ModuleType:
    """Import an optional package of the extra ``export``, or say how to install it.

    >>> extra("json", "an example").__name__
    'json'
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtra(package, "export", job) from error
