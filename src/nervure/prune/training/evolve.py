"""Sparse evolutionary training (SET): dense layers with few connections that move while the network trains.

Source: spec majority-voting-pruning, 5 (S4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nervure.data.counter import key
from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.nets.cost import weights
from nervure.nets.structure.layers import examine
from nervure.prune.training.dense import dense_groups
from nervure.prune.training.figures import degree_figures
from nervure.prune.training.iterative import IterativeVotes
from nervure.prune.training.masks import Masked, example_of
from nervure.prune.training.sparse import Init, degrees, grown, random_mask, regrow, survivors
from nervure.train.optimizer import Change

if TYPE_CHECKING:
    from nervure.train.loop import Loop

__all__ = ["SparseEvolution"]

_DRAW = 0x5E7


class SparseEvolution(Masked):
    """Gives each hidden dense layer a random sparse mask, and moves its weakest connections after each epoch.

    The output layer stays dense. After an epoch the fraction ``zeta`` of the positive and of the negative weights
    nearest to zero goes, and as many grow at random empty positions, so their number stays. Where ``iterative-votes``
    deletes units, masks shrink with the weights and the surviving number is the new one; name that callback first. At
    the end the weakest go once more and nothing grows. Rows of history gain ``connections``, ``orphans`` (hidden units
    that lost all inputs or all outputs) and ``n_weights`` (without biases and masked ones).

    Parameters
    ----------
    epsilon : float
        Density: a layer starts with about ``epsilon (n_in + n_out)`` connections.
    zeta : float
        The fraction that moves.
    regrow_init : str
        What new connections start from: ``"zero"`` or ``"he"``, random.
    layers : sequence of str
        Only these dense layers; all hidden ones by default.
    final_removal : bool
        Whether the weakest connections go at the end.

    Examples
    --------
    >>> import nervure as nv
    >>> ds = nv.data.load("digits")
    >>> net = nv.nets.build("mlp", ds, widths=(64,))
    >>> recipe = nv.train.Recipe(epochs=2, callbacks=({"name": "set", "options": {"epsilon": 6}},))
    >>> run = nv.train.fit(net, ds, recipe, device="cpu")
    >>> len({row["connections"] for row in run.history}), 0.1 < (run.net.classifier[0].weight != 0).float().mean() < 0.2
    (1, tensor(True))
    """

    def __init__(
        self,
        epsilon: float = 20.0,
        zeta: float = 0.3,
        regrow_init: Init = "zero",
        layers: Sequence[str] = (),
        final_removal: bool = True,
    ) -> None:
        super().__init__()
        if not epsilon > 0:
            raise InputError(f"set: epsilon = {epsilon!r}; give a number above 0")
        if not 0 < zeta < 1:
            raise InputError(f"set: zeta = {zeta!r}; give a fraction between 0 and 1")
        grown(torch.zeros(1, 1, dtype=torch.bool), regrow_init, torch.Generator())
        self.epsilon, self.zeta, self.regrow_init = epsilon, zeta, regrow_init
        self.layers, self.final_removal = tuple(layers), final_removal
        self._best: dict[str, Tensor] = {}
        self._counted: dict[str, float | int | str | None] = {}
        self._chain: tuple[tuple[str, str], ...] = ()

    def start(self, loop: Loop) -> None:
        """Draw the masks, and zero what they leave out."""
        after = loop.callbacks[loop.callbacks.index(self) + 1 :]
        if any(isinstance(one, IterativeVotes) for one in after):
            raise InputError("name the callback 'iterative-votes' before 'set': units go before connections move")
        groups = dense_groups(loop.net, examine(loop.net, example_of(loop)), self.layers)
        names = [layer for group in groups for layer in group.layers]
        self._chain = tuple((layer, to) for group in groups for layer in group.layers for to in group.consumers)
        self.masks = {}
        for name in names:
            weight = loop.net.get_parameter(f"{name}.weight")
            drawn = random_mask(weight.shape[0], weight.shape[1], self.epsilon, self._draw(loop, name, 0))
            self.masks[f"{name}.weight"] = drawn.to(weight.device)
        self.hold(loop)

    def after_backward(self, loop: Loop, batch: Batch) -> None:
        """Mask the gradients."""
        if not self.masks:  # neither drawn at the start nor known from a checkpoint, whose layers may be cut to the end
            raise InputError(f"set: {type(loop.net).__name__} has no hidden dense layer")
        super().after_backward(loop, batch)

    def after_epoch(self, loop: Loop, row: dict[str, float | int | str | None]) -> Change | None:
        """Count the connections, and move them unless training ends here."""
        row |= self._counted or self._counts()
        self._counted = {}
        row.setdefault("n_weights", weights(loop.net) - self.absent())
        if loop.best is not None and loop.best.epoch == row["epoch"]:
            self._best = {name: mask.clone() for name, mask in self.masks.items()}
        patience = loop.recipe.patience
        if loop.epoch < loop.recipe.epochs and (patience is None or loop.stale < patience):
            self._move(loop)
        return None

    def finish(self, loop: Loop) -> None:
        """Remove the weakest connections of the network that is handed over, and leave the figures."""
        if loop.best is not None and loop.recipe.keep == "best":
            loop.net.load_state_dict(loop.best.state)
            self.masks = dict(self._best or self.masks)
            loop.best = None
        before = self.connections()
        if self.final_removal:
            for name, mask in self.masks.items():
                self.masks[name] = survivors(loop.net.get_parameter(name), mask, self.zeta)
            self.hold(loop)
        by_layer = {name.removesuffix(".weight"): degrees(mask)[0] for name, mask in self.masks.items()}
        loop.evidence |= degree_figures(loop.history, by_layer, before, self.connections())

    def follow(self, change: Change) -> None:
        """Cut the masks with the weights; what survives is the number of connections from here on."""
        # The epoch's row is of the network as it was trained, before the cut.
        self._counted = self._counts()
        super().follow(change)
        self._best = {}

    def _counts(self) -> dict[str, float | int | str | None]:
        return {"connections": self.connections(), "orphans": self.orphans()}

    def connections(self) -> int:
        """How many connections the sparse layers have."""
        return sum(int(mask.sum()) for mask in self.masks.values())

    def orphans(self) -> int:
        """How many hidden units of the sparse layers have no input or no output left."""
        count = 0
        for name, mask in self.masks.items():
            layer = name.removesuffix(".weight")
            lost = degrees(mask)[0] == 0
            for _, to in (pair for pair in self._chain if pair[0] == layer):
                after = self.masks.get(f"{to}.weight")
                if after is not None and after.shape[1] == mask.shape[0]:
                    lost = lost | (degrees(after)[1] == 0)
            count += int(lost.sum())
        return count

    @torch.no_grad()
    def _move(self, loop: Loop) -> None:
        drawn = {}
        for name, mask in self.masks.items():
            weight = loop.net.get_parameter(name)
            stays = survivors(weight, mask, self.zeta)
            draw = self._draw(loop, name, loop.epoch)
            new = regrow(stays, int(mask.sum() - stays.sum()), draw)
            self.masks[name] = stays
            drawn[name] = (new, grown(new, self.regrow_init, draw).to(weight.dtype))
        self.hold(loop)
        for name, (new, values) in drawn.items():
            loop.net.get_parameter(name).add_(values)
            self.masks[name] = self.masks[name] | new

    def _draw(self, loop: Loop, name: str, epoch: int) -> torch.Generator:
        place = [one for one, _ in loop.net.named_parameters()].index(f"{name.removesuffix('.weight')}.weight")
        return torch.Generator().manual_seed(key(loop.recipe.seed, _DRAW, epoch, place))

    def state_dict(self) -> dict[str, Any]:
        """The masks, those of the best epoch, and which layer reads which."""
        return {**super().state_dict(), "best": dict(self._best), "chain": [list(pair) for pair in self._chain]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint."""
        super().load_state_dict(state)
        self._best = dict(state["best"])
        self._chain = tuple((one, two) for one, two in state.get("chain", self._chain))
