"""ONNX: a file that ONNX Runtime and many other engines run without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from numpy.typing import NDArray
from torch import Tensor

from nervure.errors import InputError
from nervure.export.formats import Format, Job, Outputs, Runner, extra
from nervure.export.graph import capture, dynamic_shapes, quiet, unsupported

__all__ = ["OPSET", "Session", "dump", "onnx_format", "session"]

# The newest set that PyTorch's exporter writes without converting, and old enough for most engines.
OPSET = 18
# A protobuf message ends at 2 GiB; weights beside the file would break when only the file is copied.
_LARGEST = 2**31 - 2**20


class _Named(Protocol):
    name: str


class Session(Protocol):
    """The part of ``onnxruntime.InferenceSession`` that is used here."""

    def run(self, outputs: list[str] | None, feed: dict[str, NDArray]) -> list[NDArray]:  # type: ignore[type-arg]
        """Outputs as arrays, in order."""

    def get_inputs(self) -> list[_Named]:
        """What the file reads."""

    def get_outputs(self) -> list[_Named]:
        """What the file gives."""


def dump(job: Job) -> bytes:
    """The network as one ONNX file with a dynamic batch axis, weights inside, metadata as properties."""
    for package in ("onnx", "onnxscript"):
        extra(package, "writing ONNX")
    held = sum(value.nbytes for value in job.deployed.state_dict().values())
    if held > _LARGEST:
        raise InputError(
            f"onnx: {held / 2**30:.1f} GiB of weights, and one file holds 2 GiB; export pt2 or safetensors"
        )
    for name in set(job.inputs) & set(job.outputs):
        raise InputError(f"onnx: output {name!r} has the name of an input; give it another name, or export pt2")
    program = capture(job)
    try:
        with quiet(), torch.no_grad():
            written = torch.onnx.export(
                program,
                job.example(),
                dynamo=True,
                opset_version=OPSET,
                input_names=list(job.inputs),
                output_names=list(job.outputs),
                dynamic_shapes=dynamic_shapes(job),
                external_data=False,
                verbose=False,
            )
    except Exception as error:
        raise InputError(unsupported(error, program, "onnx")) from error
    assert written is not None
    model = written.model
    _give_way(model.graph)
    for node in model.graph.all_nodes():
        # The exporter notes the lines of code that each node came from, with the paths of this machine.
        node.metadata_props.clear()
        node.doc_string = None
    model.metadata_props.update(job.metadata)
    return cast(bytes, written.model_proto.SerializeToString(deterministic=True))


def _give_way(graph: Any) -> None:
    """Rename what is inside and has the name of an output: ONNX gives a name once, and outside it is known."""
    outputs = set(graph.outputs)
    names = {value.name for value in outputs}
    inside = [*graph.initializers.values(), *(value for node in graph.all_nodes() for value in node.outputs)]
    for value in inside:
        if value.name in names and value not in outputs:
            value.name = f"{value.name}/inner"


def session(source: Path | str | bytes, threads: int | None = None) -> Session:
    """An ONNX Runtime session on the CPU; ``threads`` inside an operation, None for its own choice."""
    runtime = extra("onnxruntime", "running ONNX")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    if threads is not None:
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Idle threads that spin would take the processor from whatever is timed next to this.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        given = source if isinstance(source, bytes) else str(source)
        return cast(Session, runtime.InferenceSession(given, options, providers=["CPUExecutionProvider"]))
    except Exception as error:
        shown = "this file" if isinstance(source, bytes) else source
        raise InputError(f"{shown}: ONNX Runtime cannot load it ({str(error).splitlines()[0][:200]})") from error


def load(path: Path, job: Job) -> Runner:
    """The file in ONNX Runtime."""
    opened = session(path)
    inputs = [one.name for one in opened.get_inputs()]
    outputs = [one.name for one in opened.get_outputs()]

    def run(x: Tensor, mask: Tensor | None) -> Outputs:
        given = {"x": x.numpy()} if mask is None else {"x": x.numpy(), "mask": mask.numpy()}
        found = opened.run(outputs, {name: given[name] for name in inputs})
        return {name: torch.from_numpy(value) for name, value in zip(outputs, found, strict=True)}

    return run


def read(path: Path) -> Mapping[str, str]:
    """The file's metadata properties."""
    model = extra("onnx", "reading ONNX").load(str(path), load_external_data=False)
    return {entry.key: entry.value for entry in model.metadata_props}


onnx_format = Format(".onnx", dump, load, read)
