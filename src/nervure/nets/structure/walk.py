"""From the answers of the dependency tracer to links between places of the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from nervure.nets.structure.groups import Found, Key, Places
from nervure.nets.structure.slices import Kind
from nervure.nets.structure.twin import OPAQUE, Source

__all__ = ["Walk"]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_SUMS = ("AddBackward", "SubBackward")
_PAIRS = 256


class Walk:
    """From Torch-Pruning's groups to links between places."""

    def __init__(self, library: Any, tracer: Any, twin: nn.Module, order: Mapping[str, int]) -> None:
        self.types = library.ops.OPTYPE
        self.hybrid = library._helpers._HybridIndex
        self.tracer = tracer
        self.order = order
        self.names = {module: name for name, module in twin.named_modules()}
        self.parameters = {id(parameter): name for name, parameter in twin.named_parameters()}
        self.result = Found(order=order)

    def found(self) -> Found:
        """Links, flags and sums of every layer's units."""
        roots = [module for module in self.tracer.module2node if isinstance(module, (nn.Linear, *_CONVOLUTIONS))]
        done: set[str] = set()
        for module in sorted(roots, key=lambda one: self.order.get(self.names[one], 0)):
            name = self.names[module]
            units = self.tracer.get_out_channels(module)
            if name in done or units is None or units <= 1 or self.kind(self.tracer.module2node[module]) == "through":
                continue
            done |= self.follow(self.tracer.module2node[module], name, int(units))
        return self.result

    def kind(self, node: Any) -> Kind | None:
        """Which side of a module a node's output is, or None for an operation without entries of its own."""
        if node.type in (self.types.CONV, self.types.LINEAR) or isinstance(node.module, OPAQUE):
            return "out"
        if node.type == self.types.PARAMETER:
            return "parameter"
        through = (self.types.BN, self.types.LN, self.types.GN, self.types.IN, self.types.PRELU)
        if node.type in (*through, self.types.EMBED, self.types.DEPTHWISE_CONV) or isinstance(node.module, nn.RMSNorm):
            return "through"
        return None

    def follow(self, start: Any, name: str, units: int) -> set[str]:
        """Note all that goes with each unit of a layer; names of the layers all of whose outputs were met.

        Pairs (place, unit) travel along the dependencies until nothing new is met. Torch-Pruning's own answer for
        all units at once is not enough: it forgets that two units share a place, and so must go together.
        """
        root: Key = (name, "out")
        self.result.sizes[root] = units
        every = np.arange(units)
        seen: dict[tuple[Any, bool], Places] = {}
        waiting = [(start, True, self.tracer.get_pruner_of_module(start.module).prune_out_channels, every, every)]
        done = set()
        while waiting:
            node, outward, handler, places, at = waiting.pop()
            known = seen.get((node, outward))
            pairs = places * units + at
            if known is not None and np.array_equal(pairs, known):
                continue
            if known is not None:
                fresh = ~np.isin(pairs, known)
                places, at, pairs = places[fresh], at[fresh], pairs[fresh]
                pairs = np.concatenate([known, pairs])
            if not len(places):
                continue
            if len(pairs) > _PAIRS * units:
                self.result.flags.append((root, every, "its units are tied to one another in too many ways"))
                break
            seen[node, outward] = pairs
            if self.note(root, at, node, outward, places):
                done.add(self.names[node.module])
            for dependency in node.dependencies:
                if not dependency.is_triggered_by(handler):
                    continue
                target = dependency.target
                out = dependency.handler == self.tracer.get_pruner_of_module(target.module).prune_out_channels
                try:
                    waiting.append((target, out, dependency.handler, *self.mapped(dependency, places, at)))
                except IndexError:  # a split of which Torch-Pruning knows fewer parts than it has
                    self.result.flags.append((root, every, "its units cannot be followed through a split"))
        return done

    def mapped(self, dependency: Any, places: Places, at: Places) -> tuple[Places, Places]:
        """Places on the other side of a dependency, each with its unit."""
        ways = [way for way in dependency.index_mapping if way is not None]
        if not ways or not len(places):
            return places, at
        pairs = [self.hybrid(idx=one, root_idx=unit) for one, unit in zip(places.tolist(), at.tolist(), strict=True)]
        for way in ways:
            pairs = way(pairs)
        both = np.unique(np.asarray([(one.idx, one.root_idx) for one in pairs], dtype=np.int64).reshape(-1, 2), axis=0)
        return both[:, 0], both[:, 1]

    def note(self, root: Key, at: Places, node: Any, outward: bool, places: Places) -> bool:
        """Note what one node means for the units; whether they are all the outputs of a layer."""
        kind = self.kind(node)
        if kind is None:
            self.remark(root, node, at)
            return False
        return self.link(root, at, node, kind if kind != "out" or outward else "in", places)

    def remark(self, root: Key, node: Any, at: Places) -> None:
        """What an operation without entries of its own tells of the units that pass it."""
        if node.type == self.types.OUTPUT:
            self.result.flags.append((root, at, "its units are the network's output"))
        elif isinstance(node.module, Source):
            self.result.flags.append((root, at, "its units are joined with the network's input"))
        elif node.type == self.types.ELEMENTWISE and str(node.module._grad_fn).startswith(_SUMS):
            operands = [one for one in node.inputs if one.type != self.types.PARAMETER]
            if len(operands) > 1:
                self.result.sums.append((root, at))

    def link(self, root: Key, at: Places, node: Any, kind: Kind, places: Places) -> bool:
        """Note that ``places`` of a module go with ``at`` of the root; whether these are all of its outputs."""
        if kind == "parameter":
            name = self.parameters[id(node.module)]
            axis = node.pruning_dim % node.module.ndim
            size = int(node.module.shape[axis])
            self.result.axes[name] = axis
        else:
            name = self.names[node.module]
            size = self.tracer.get_in_channels(node) if kind == "in" else self.tracer.get_out_channels(node)
            size = 0 if size is None else int(size)
        if size <= 1:
            # One entry for all units is not theirs: a shared slope, or a gate that is broadcast.
            return False
        if len(places) and int(places.max()) >= size:
            self.result.flags.append((root, at, f"its units cannot be followed beyond {name!r}"))
            return False
        if isinstance(node.module, nn.MultiheadAttention) or (kind == "out" and isinstance(node.module, nn.RNNBase)):
            what = f"{name!r} ({type(node.module).__name__}), whose width is fixed"
            self.result.flags.append((root, at, f"its units meet {what}"))
        key: Key = (name, kind)
        self.result.sizes[key] = size
        self.result.links.append((root, at, key, places))
        return kind == "out" and len(np.unique(places)) == size
