"""The dependencies of a whole network, followed by Torch-Pruning; the only file that knows of it.

The network is traced on a copy without data where it can run there. What is found is never trusted: whoever cuts
runs the cut network beside the masked one (:mod:`nervure.nets.structure.check`).
"""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from nervure.errors import InputError
from nervure.nets.seed import seeded
from nervure.nets.shadow import on_meta, place_of
from nervure.nets.structure.certain import certain
from nervure.nets.structure.cut import cut
from nervure.nets.structure.groups import Group, make_groups
from nervure.nets.structure.idle import idle
from nervure.nets.structure.twin import Call, Fed, Source, opaque, shadow, tensors, watched
from nervure.nets.structure.walk import Walk
from nervure.observe.ready import refuse_closed

__all__ = ["Graph", "cut", "follow", "trace"]

# Warnings, generators and Torch-Pruning's own functions belong to the whole process.
_ALONE = threading.Lock()


@dataclass(frozen=True, eq=False)
class Graph:
    """Groups of units, in the order in which the network calls their first layers, and how it was called.

    ``gives`` has the shapes of its outputs; ``certain`` says that nothing in it could be followed wrongly; ``idle``
    names the layers that it does not call.
    """

    groups: tuple[Group, ...]
    order: Mapping[str, int]
    calls: tuple[Call, ...] = field(repr=False)
    gives: tuple[tuple[int, ...], ...] = ()
    certain: bool = False
    idle: tuple[str, ...] = ()

    def group(self, name: str) -> Group:
        """The group of that name."""
        return next(one for one in self.groups if one.name == name)

    @property
    def free(self) -> tuple[Group, ...]:
        """The groups that can be cut."""
        return tuple(group for group in self.groups if not group.why)

    def without(self, reasons: Mapping[str, str]) -> Graph:
        """The same graph with some groups kept whole, and why."""
        groups = (group.whole(reasons[group.name]) if group.name in reasons else group for group in self.groups)
        return replace(self, groups=tuple(groups))


def trace(net: nn.Module, example: Tensor | Sequence[Tensor]) -> Graph:
    """Follow which units depend on which, through the whole network.

    Parameters
    ----------
    net : Module
        Not changed, and not run where a copy without data can be.
    example : tensor or sequence of tensors
        A batch of 2 or 3 samples: (n, ...).

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2))
    >>> graph = trace(net, torch.zeros(2, 1, 4, 4))
    >>> [(group.name, dict(group.consumers), group.why) for group in graph.groups]
    [('0', {'3': 4}, ''), ('3', {}, "its units are the network's output")]
    """
    inputs = [example] if isinstance(example, Tensor) else list(example)
    try:
        return follow(net, on_meta(net), [one.to("meta") for one in inputs])
    except Exception:  # whatever a stranger's forward raises without data, the real run decides
        return follow(net, shadow(net), inputs)


def follow(net: nn.Module, twin: nn.Module, inputs: Sequence[Tensor]) -> Graph:
    """Trace ``net`` by running ``twin``, a copy of it with weights or without, on samples (n, ...)."""
    refuse_closed(net)
    with _ALONE, warnings.catch_warnings(), seeded(0), torch.inference_mode(False), torch.enable_grad():
        warnings.simplefilter("ignore")
        device, _ = place_of(twin)
        return _follow(net, twin, [one.to(device) for one in inputs])


def _follow(net: nn.Module, twin: nn.Module, inputs: list[Tensor]) -> Graph:
    import torch_pruning

    twin.eval()
    for parameter in twin.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    tracer = torch_pruning.DependencyGraph()
    running: list[str] = []
    calls: list[Call] = []
    gave: list[Tensor] = []
    flattened: list[object] = []

    def visible(out: object) -> list[Tensor]:
        gave.extend(_visible(out))
        return gave

    with watched(twin, running, calls, flattened), opaque(twin), _mended(torch_pruning):
        try:
            tracer.build_dependency(
                Fed(twin, len(inputs)),
                inputs,
                forward_fn=lambda model, given: model(given),
                output_transform=visible,
                customized_pruners=_sided(torch_pruning),
                verbose=False,
            )
        except InputError:
            raise
        except Exception as error:
            raise InputError(_cannot(net, running, inputs, error)) from error
    order: dict[str, int] = {}
    for call in calls:
        order.setdefault(call.module, len(order))
    walk = Walk(torch_pruning, tracer, twin, order)
    shapes = tuple(tuple(one.shape) for one in gave)
    sure = certain(torch_pruning.ops.OPTYPE, tracer, twin, calls, flattened)
    unheard = idle(twin, order, gave)
    return Graph(make_groups(net, walk.found()), order, tuple(calls), shapes, sure and not unheard, unheard)


@contextlib.contextmanager
def _mended(torch_pruning: Any) -> Iterator[None]:
    """Keep Torch-Pruning from two inferences that go wrong beside joins.

    Where it finds no width of what flows into a join, or less than none, it would divide by it. And maps of one value
    are the units themselves when they are flattened, whatever the width of the join that they go into.
    """
    infer, mapping = torch_pruning.dependency.shape_infer, torch_pruning.dependency.index_mapping
    width, reshape = infer.infer_in_channels_recursively, mapping.update_reshape_index_mapping

    def told(graph: Any, node: Any, recursive_depth: list[int]) -> int | None:
        found: int | None = width(graph, node, recursive_depth)
        return found if found is None or found > 0 else None

    def spread(graph: Any, node: Any) -> None:
        if tuple(getattr(node.grad_fn, "_saved_self_sym_sizes", ()))[2:] != (1, 1):
            reshape(graph, node)

    infer.infer_in_channels_recursively, mapping.update_reshape_index_mapping = told, spread
    try:
        yield
    finally:
        infer.infer_in_channels_recursively, mapping.update_reshape_index_mapping = width, reshape


def _visible(out: object) -> list[Tensor]:
    """Each output as the result of an operation of its own, so that a layer that gives one is seen to."""
    found = [one + 0 for one in tensors(out) if one.requires_grad]
    if not found:
        raise RuntimeError("no gradient reaches its output")
    return found


def _cannot(net: nn.Module, running: Sequence[str], inputs: Sequence[Tensor], error: Exception) -> str:
    kind = type(net).__name__
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    if running:
        where = f"module {running[-1]!r}" if running[-1] else "its own forward"
        shapes = ", ".join(str(tuple(one.shape)) for one in inputs)
        return f"{kind} cannot be followed on input of shape {shapes}: {where} fails: {reason}"
    return f"{kind} cannot be followed: {reason}; take torch.no_grad, detach and numpy out of its forward"


def _sided(torch_pruning: Any) -> dict[type[nn.Module], Any]:
    """Rules for layers that Torch-Pruning lacks or opens: what they read is one side, what they give another."""

    class Sided(torch_pruning.pruner.function.BasePruningFunc):  # type: ignore[misc]
        def prune_out_channels(self, layer: nn.Module, idxs: Sequence[int]) -> nn.Module:
            return layer

        def prune_in_channels(self, layer: nn.Module, idxs: Sequence[int]) -> nn.Module:
            return layer

        def get_out_channels(self, layer: Any) -> int:
            if isinstance(layer, Source):
                return int(layer.width)
            if isinstance(layer, nn.MultiheadAttention):
                return int(layer.embed_dim)
            return int((getattr(layer, "proj_size", 0) or layer.hidden_size) * (2 if layer.bidirectional else 1))

        def get_in_channels(self, layer: Any) -> int:
            if isinstance(layer, Source):
                return int(layer.width)
            return int(layer.embed_dim if isinstance(layer, nn.MultiheadAttention) else layer.input_size)

    class Norm(torch_pruning.pruner.function.BasePruningFunc):  # type: ignore[misc]
        def prune_out_channels(self, layer: nn.Module, idxs: Sequence[int]) -> nn.Module:
            return layer

        prune_in_channels = prune_out_channels

        def get_out_channels(self, layer: Any) -> int:
            return int(layer.normalized_shape[-1])

        get_in_channels = get_out_channels

    sided = Sided()
    return {**dict.fromkeys((Source, nn.LSTM, nn.GRU, nn.RNN, nn.MultiheadAttention), sided), nn.RMSNorm: Norm()}
