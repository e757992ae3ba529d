"""From a module to a graph that stands for it at every batch size, or one line that says why not."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule, Node

from nervure.errors import InputError, NervureError
from nervure.export.formats import Job

__all__ = ["capture", "dynamic_shapes", "quiet", "unsupported"]

_log = logging.getLogger("nervure.export")
_CHATTY = ("torch", "onnxscript", "onnx_ir")


def dynamic_shapes(job: Job) -> tuple[dict[int, Dim], ...]:
    """The first axis of every input is the batch, of any size from 1."""
    batch = Dim("batch", min=1)
    return tuple({0: batch} for _ in job.inputs)


def capture(job: Job) -> ExportedProgram:
    """The graph of ``job.deployed``, free of the paths of the machine that made it.

    Examples
    --------
    >>> from nervure.export.deployed import Deployed
    >>> job = Job(Deployed(nn.Linear(2, 1)).eval(), (2,), False, ("output",), {})
    >>> capture(job).module()(torch.zeros(5, 2))["output"].shape
    torch.Size([5, 1])
    """
    try:
        with quiet(), torch.no_grad():
            program = torch.export.export(job.deployed, job.example(), dynamic_shapes=dynamic_shapes(job))
    except NervureError:
        raise
    except Exception as error:
        raise InputError(_why_not(error, job.deployed)) from error
    for module in program.graph_module.modules():
        if isinstance(module, GraphModule):
            for node in module.graph.nodes:
                node.meta.pop("stack_trace", None)
    return program


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send what the exporters print, warn and log to our own log, at debug level.

    >>> with quiet():
    ...     print("exporting ...")
    """
    handlers = {
        handler
        for name, logger in [*logging.root.manager.loggerDict.items()]
        if isinstance(logger, logging.Logger) and name.split(".")[0] in _CHATTY
        for handler in logger.handlers
    }
    printed = io.StringIO()
    for handler in handlers:
        handler.addFilter(_to_debug)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        for handler in handlers:
            handler.removeFilter(_to_debug)
        if printed.getvalue().strip():
            _log.debug("%s", printed.getvalue().strip())


def _to_debug(record: logging.LogRecord) -> bool:
    if record.name.split(".")[0] not in _CHATTY:
        return True
    _log.debug("%s: %s", record.name, record.getMessage())
    return False


def unsupported(error: BaseException, program: ExportedProgram, form: str) -> str:
    """One line for an operation that ``form`` does not have, with the layer that uses it.

    >>> from nervure.export.deployed import Deployed
    >>> program = capture(Job(Deployed(nn.Linear(2, 1)).eval(), (2,), False, ("output",), {}))
    >>> unsupported(ValueError("bad weather"), program, "onnx")
    'onnx: the network cannot be written (ValueError: bad weather); export pt2 instead'
    """
    found = re.search(r"No ONNX function found for <OpOverload\(op='([^']+)'", _texts(error))
    if found is None:
        return f"{form}: the network cannot be written ({_first_line(error)}); export pt2 instead"
    operation = found.group(1)
    where = _user_of(operation, program)
    return f"{form}: {where} uses {operation}, which has no {form} form; replace it, or export pt2"


def _user_of(operation: str, program: ExportedProgram) -> str:
    """The layer with the operation, which may appear only once larger ones are decomposed."""
    with contextlib.suppress(Exception), quiet():
        for graph in (program.graph, program.run_decompositions().graph):
            for node in graph.nodes:
                if str(node.target).rsplit(".", 1)[0] == operation:
                    return _layer_of(node) or "the network"
    return "the network"


def _layer_of(node: Node) -> str:
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    if not stack:
        return ""
    path, kind = stack[-1]
    return f"{_said(str(path))} ({str(kind).rsplit('.', 1)[-1]})"


def _why_not(error: BaseException, deployed: nn.Module) -> str:
    """What in the network stops the tracer, where, and what to do."""
    text = _texts(error)
    where = _innermost(error, deployed)
    if "data-dependent" in text or "DataDependent" in text:
        return (
            f"{where} decides by the values of its input (if, while, .item() or a shape read from data), "
            "which no fixed graph can follow; use torch.where or torch.cond there"
        )
    if "Constraints violated" in text or "specialized" in text:
        return f"{where} works at one batch size only; take the batch from x.shape[0] there, not from a number"
    reason = _first_line(error)
    return f"{where} cannot be traced by torch.export ({reason}); rewrite it with plain tensor operations"


def _innermost(error: BaseException, deployed: nn.Module) -> str:
    """The innermost layer that was running when the error was raised, with its line of code."""
    names = {id(module): name for name, module in deployed.named_modules() if module is not deployed}
    pytorch = str(Path(torch.__file__).parent)
    for one in _chain(error):
        found = line_of_code = ""
        for frame, line in traceback.walk_tb(one.__traceback__):
            owner = frame.f_locals.get("self")
            if id(owner) in names:
                found = f"{_said(names[id(owner)])} ({type(owner).__name__}"
                line_of_code = ""
            if found and not frame.f_code.co_filename.startswith(pytorch):
                line_of_code = f", {Path(frame.f_code.co_filename).name}:{line}"
        if found:
            return f"{found}{line_of_code})"
    return "the network"


def _said(path: str) -> str:
    """``"net.head"`` as a reader of the network knows it."""
    name = path.removeprefix("net").removeprefix(".")
    return f"layer {name!r}" if name else "the network"


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def _texts(error: BaseException) -> str:
    return "\n".join(f"{type(one).__name__}: {one}" for one in _chain(error))


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].strip()[:160]}" if lines else type(error).__name__
