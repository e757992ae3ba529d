"""Whether a traced network consists of nothing but operations whose dependencies are beyond doubt.

Plain layers, batch norms, activations, pools, sums and ``nn.Flatten`` cannot be followed wrongly, so a plan need not
try a cut of such a network before it counts on it. (Every real cut is checked all the same.)
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from torch import nn

from nervure.nets.structure.twin import Call, Source

__all__ = ["certain"]

_ONE_INPUT = (
    "ReluBackward", "HardtanhBackward", "LeakyReluBackward", "EluBackward", "GeluBackward", "SiluBackward",
    "SigmoidBackward", "TanhBackward", "MaxPool", "AvgPool", "AdaptiveMaxPool", "AdaptiveAvgPool",
    "MkldnnAdaptiveAvgPool",
)  # fmt: skip
_TWO_INPUTS = ("AddBackward", "SubBackward")


def certain(types: Any, tracer: Any, twin: nn.Module, calls: Collection[Call], flattened: Collection[object]) -> bool:
    """Whether every node is of a kind that is followed right by its own nature.

    Parameters
    ----------
    types, tracer
        Torch-Pruning's kinds of nodes, and its graph of the network.
    twin, calls : Module, sequence of Call
        The network that was traced, and the calls of its modules.
    flattened : collection
        The autograd nodes of what ``nn.Flatten(1)`` gave.
    """
    nodes = tracer.module2node
    modules = dict(twin.named_modules())
    layers = [modules[call.module] for call in calls if isinstance(modules[call.module], _LAYERS)]
    # A layer that was called twice, or is not in the graph though it was called, is no plain matter.
    if len(set(layers)) < len(layers) or any(layer not in nodes for layer in layers):
        return False
    return all(_plain(types, node, flattened) for node in nodes.values())


_LAYERS = (nn.modules.conv._ConvNd, nn.Linear, nn.modules.batchnorm._BatchNorm)


def _plain(types: Any, node: Any, flattened: Collection[object]) -> bool:
    if isinstance(node.module, Source) or node.type == types.OUTPUT:
        return True
    if node.type in (types.CONV, types.LINEAR, types.BN, types.DEPTHWISE_CONV):
        return _reads_one(types, node) and _wide(types, node)
    if node.type == types.RESHAPE:
        return node.grad_fn in flattened
    if node.type != types.ELEMENTWISE:
        return False
    name = str(node.module._grad_fn)
    if name.startswith("TBackward"):
        return not node.inputs and all(one.type == types.LINEAR for one in node.outputs)
    known = [one for one in node.inputs if one.type != types.PARAMETER]
    if name.startswith(_ONE_INPUT) or _over_positions(node.grad_fn, name):
        return len(node.inputs) == len(known) == 1
    return name.startswith(_TWO_INPUTS) and len(node.inputs) == len(known) == 2


def _over_positions(grad_fn: Any, name: str) -> bool:
    """Whether it is a mean over positions, not over units: the dimensions from the third on."""
    if not name.startswith("MeanBackward1"):
        return False
    dims = len(grad_fn._saved_self_sym_sizes)
    # Negative dimensions are kept as unsigned 64-bit numbers.
    over = [(one - (1 << 64) if one >> 63 else one) % dims for one in grad_fn._saved_dim or ()]
    return bool(over) and min(over) >= 2


def _reads_one(types: Any, node: Any) -> bool:
    """Whether what the layer reads is in the graph: one operation, beside the layer's own weights."""
    return sum(not str(getattr(one.module, "_grad_fn", "")).startswith("TBackward") for one in node.inputs) == 1


def _wide(types: Any, node: Any) -> bool:
    """Whether the layer gives several units; a single one might be broadcast."""
    module = node.module
    if node.type == types.CONV:
        return bool(module.groups == 1 and module.out_channels > 1)
    return bool(node.type != types.LINEAR or module.out_features > 1)
