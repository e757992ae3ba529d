"""Training under masks of edges that are judged anew after each epoch (spec isparse, 2.8)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from nervure.data.counter import key
from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.judge import Criterion, Samples
from nervure.sparsify import rates
from nervure.sparsify.decide import Rules, decide
from nervure.sparsify.layers import checked, others, prunable
from nervure.sparsify.mask import Mask
from nervure.sparsify.plan import prepared, sampled, silent
from nervure.sparsify.training.figures import training_figures
from nervure.train.callbacks import Callback
from nervure.train.runtime import broadcast

if TYPE_CHECKING:
    from nervure.train.loop import Loop

__all__ = ["SparseTraining", "share_at"]

Ramp = Literal["none", "linear"]
Scores = Literal["stored", "effective"]
Row = dict[str, float | int | str | None]

_DRAW = 0x7247


def share_at(epoch: int, epochs: int, warm_up: int, ramp: Ramp = "none") -> float:
    """The part of the asked sparsity that is in force after ``epoch`` epochs: with a ramp all of it half-way.

    >>> [share_at(epoch, 6, 1, "linear") for epoch in range(6)]
    [0.0, 0.3333333333333333, 0.6666666666666666, 1.0, 1.0, 1.0]
    >>> share_at(0, 6, 1), share_at(1, 6, 1)
    (0.0, 1.0)
    """
    if epoch < warm_up:
        return 0.0
    steps = math.ceil((epochs - warm_up) / 2) if ramp == "linear" else 1
    return min(1.0, (epoch - warm_up + 1) / max(1, steps))


class SparseTraining(Callback):
    """Removes edges while the network trains, and chooses them anew after each epoch.

    Masked weights are zero in the network and learn nothing: their gradients are masked before a step, and momentum,
    Adam and weight decay are undone after it. What they stored when they were masked is kept aside, and comes back if a
    later mask lets it. The masks of the last epoch stay; with ``keep="best"`` those of the best epoch at the full
    sparsity. The network that is handed over holds exact zeros, and so does any in between. Rows of history gain
    ``sparsity``, as it was in the epoch, and ``mask_change``, the share of edges whose mask then changed.

    What :func:`nervure.sparsify.plan` leaves whole stays whole here too.

    Parameters
    ----------
    criterion : str
        A name of :data:`nervure.sparsify.criteria.criteria` that needs no training of its own. ``random`` is drawn
        anew each time.
    sparsity : float or mapping
        The share of edges to remove, as for :func:`nervure.sparsify.plan`.
    warm_up : int
        Epochs before the first mask.
    refresh : int
        Epochs from one choice to the next; 0 for one choice alone.
    ramp : {"none", "linear"}
        Whether the sparsity is there at once, or in equal steps that end half-way through the masked epochs.
    scores : {"stored", "effective"}
        Whether masked weights are judged by what they store, or as the zeros that they are.
    ranking, order, layers, exclude, pattern, allow_empty, samples
        As for :func:`nervure.sparsify.plan`.
    settings : mapping
        Of the criterion.

    Attributes
    ----------
    masks : dict of str to Tensor
        By layer, bool; empty while the network is dense.
    left : list of str
        Modules with weights that the criterion leaves whole.

    Examples
    --------
    >>> import nervure as nv
    >>> ds = nv.data.load("digits")
    >>> net = nv.nets.build("mlp", ds, widths=(16,))
    >>> sparse = {"name": "sparse-training", "options": {"criterion": "magnitude", "sparsity": 0.75}}
    >>> run = nv.train.fit(net, ds, nv.train.Recipe(epochs=2, callbacks=(sparse,)), device="cpu")
    >>> [row["sparsity"] for row in run.history], int((run.net.classifier[0].weight == 0).sum())
    ([0.0, 0.75], 768)
    """

    def __init__(
        self,
        criterion: str | Criterion = "isparse",
        sparsity: float | Mapping[str, float] | None = None,
        warm_up: int = 1,
        refresh: int = 1,
        ramp: Ramp = "none",
        scores: Scores = "stored",
        ranking: str = "layer",
        order: str = "input-to-output",
        layers: Sequence[str] | None = None,
        exclude: Sequence[str] = (),
        pattern: Sequence[int] | None = None,
        allow_empty: bool = False,
        samples: int | None = 2000,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        for name, value in (("warm_up", warm_up), ("refresh", refresh)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise InputError(f"sparse-training: {name} = {value!r}; give a whole number from 0")
        if ramp not in ("none", "linear"):
            raise InputError(f"sparse-training: ramp = {ramp!r}; give none or linear")
        if scores not in ("stored", "effective"):
            raise InputError(f"sparse-training: scores = {scores!r}; give stored or effective")
        if ramp == "linear" and not refresh:
            raise InputError("sparse-training: a ramp needs a choice after each step of it; give refresh=1")
        self.criterion, self.sparsity, self.warm_up, self.refresh = criterion, sparsity, warm_up, refresh
        self.ramp, self.scores, self.samples, self.allow_empty = ramp, scores, samples, allow_empty
        self.layers, self.exclude, self.settings = layers, tuple(exclude), dict(settings or {})
        self.order = rates.known_order(order)
        self.pattern = rates.known_pattern(pattern)
        self.ranking = rates.known_ranking(ranking, self.pattern, order)
        if self.pattern is not None and ramp == "linear":
            raise InputError("sparse-training: a pattern has one sparsity; leave the ramp out")
        prepared(criterion, None, 0, self.settings)
        self.masks: dict[str, Tensor] = {}
        self.left: list[str] = []
        self._stored: dict[str, Tensor] = {}
        self._best: dict[str, Tensor] = {}
        self._share = 0.0
        self._asked: rates.Asked = {}

    def start(self, loop: Loop) -> None:
        """Find the layers, and mask them if there is no warm-up; what the criterion refuses is said before it."""
        if self.warm_up >= loop.recipe.epochs:
            raise InputError(
                f"sparse-training: {self.warm_up} epochs of warm-up leave none of {loop.recipe.epochs} to train under "
                "masks; train longer, or give a smaller warm_up"
            )
        last = range(self.warm_up, loop.recipe.epochs, self.refresh or loop.recipe.epochs)[-1]
        if share_at(last, loop.recipe.epochs, self.warm_up, self.ramp) < 1:
            raise InputError(
                f"sparse-training: with a choice each {self.refresh} epochs the ramp does not end within "
                f"{loop.recipe.epochs}; train longer, or give a smaller refresh"
            )
        criterion, batches = self._judging(loop, 0)
        known = prunable(loop.net, self.layers, self.exclude)
        unheard = silent(loop.net, batches.example[0], known, criterion)
        found = checked({name: module for name, module in known.items() if name not in unheard})
        self.left = [*unheard, *others(loop.net, self.layers, self.exclude)]
        self._asked = rates.asked(
            found, self.sparsity, ranking=self.ranking, pattern=self.pattern, allow_empty=self.allow_empty
        )
        self.layers = tuple(layer.name for layer in found)
        if not self.warm_up:
            self._choose(loop, 0)
        elif not criterion.needs_gradient:
            criterion.prepare(loop.net, batches, found)

    def after_backward(self, loop: Loop, batch: Batch) -> None:
        """Mask the gradients."""
        for name, mask in self.masks.items():
            gradient = _weight(loop, name).grad
            if gradient is not None:
                gradient.masked_fill_(~mask, 0)

    @torch.no_grad()
    def after_step(self, loop: Loop, batch: Batch) -> None:
        """Undo what the optimizer did to masked weights."""
        for name, mask in self.masks.items():
            _weight(loop, name).masked_fill_(~mask, 0)

    def after_epoch(self, loop: Loop, row: Row) -> None:
        """Note the epoch's sparsity, and choose the masks of the next epoch unless training ends here."""
        row["sparsity"] = self.reached(loop)
        row["mask_change"] = 0.0
        if self._share < 1:
            # An epoch with more edges than asked is no candidate for the best, and patience does not count it.
            loop.best, loop.stale = None, 0
        elif loop.best is not None and loop.best.epoch == loop.epoch:
            self._best = {name: mask.clone() for name, mask in self.masks.items()}
        patience = loop.recipe.patience
        if loop.epoch >= loop.recipe.epochs or (patience is not None and loop.stale >= patience):
            return
        since = loop.epoch - self.warm_up
        if since == 0 or (since > 0 and self.refresh and since % self.refresh == 0):
            row["mask_change"] = self._choose(loop, loop.epoch)

    def finish(self, loop: Loop) -> None:
        """Settle on the masks of the network that is handed over, and leave the figures."""
        if loop.best is not None and loop.recipe.keep == "best" and self._best:
            self.masks = self._best
        asked = {} if self.ranking == "global" else self._asked
        mask = Mask.for_net(loop.net, self.masks, criterion=str(self.criterion), asked=asked)
        loop.evidence |= training_figures(mask, loop.history)

    def reached(self, loop: Loop) -> float:
        """The share of edges that are masked."""
        edges = sum(_weight(loop, name).numel() for name in self.layers or ())
        gone = sum(mask.numel() - int(mask.sum()) for mask in self.masks.values())
        return gone / edges if edges else 0.0

    @torch.no_grad()
    def _choose(self, loop: Loop, epoch: int) -> float:
        """New masks from the network as it is; the share of edges whose mask changed."""
        self._share = share_at(epoch, loop.recipe.epochs, self.warm_up, self.ramp)
        if self.scores == "stored":
            self._reveal(loop)
        masks = self._decided(loop, epoch)
        if self.scores == "effective":
            self._reveal(loop)
        # One process decides for all, so that no last bit parts them.
        bits = {name: mask.to(device=_weight(loop, name).device, dtype=torch.uint8) for name, mask in masks.items()}
        broadcast(bits)
        masks = {name: one.bool() for name, one in bits.items()}
        edges = sum(mask.numel() for mask in masks.values())
        before = {name: self.masks.get(name, torch.ones_like(mask)) for name, mask in masks.items()}
        changed = sum(int((before[name] != mask).sum()) for name, mask in masks.items())
        self.masks = masks
        for name, mask in masks.items():
            weight = _weight(loop, name)
            self._stored[name] = weight.masked_fill(mask, 0)
            weight.masked_fill_(~mask, 0)
        return changed / edges if edges else 0.0

    def _reveal(self, loop: Loop) -> None:
        """Put back what masked weights stored."""
        for name, mask in self.masks.items():
            weight = _weight(loop, name)
            weight.copy_(torch.where(mask, weight, self._stored[name]))
        self._stored = {}

    def _judging(self, loop: Loop, epoch: int) -> tuple[Criterion, Samples]:
        """The criterion, and what it looks at: the same samples each time, so that a mask changes by what is learnt."""
        seed = key(loop.recipe.seed, _DRAW, epoch) >> 2
        criterion = prepared(self.criterion, loop.ds, seed, self.settings)
        return criterion, sampled(loop.net, loop.ds, criterion, self.samples, loop.recipe.seed, 256)

    def _decided(self, loop: Loop, epoch: int) -> dict[str, Tensor]:
        criterion, batches = self._judging(loop, epoch)
        found = checked(prunable(loop.net, self.layers))
        asked = {name: self._share * share for name, share in self._asked.items()}
        rules = Rules(self.ranking, self.order, self.pattern, self.allow_empty, loop.recipe.seed)
        objective = loop.objective if criterion.needs_gradient else None
        masks, _ = decide(
            loop.net, batches, criterion, found, asked, rules, example=batches.example[0], objective=objective
        )
        return masks

    def state_dict(self) -> dict[str, Any]:
        """The masks, what is behind them, and the masks of the best epoch."""
        return {"masks": self.masks, "stored": self._stored, "best": self._best, "share": self._share}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.masks, self._stored = dict(state["masks"]), dict(state["stored"])
        self._best, self._share = dict(state["best"]), float(state["share"])


def _weight(loop: Loop, name: str) -> Tensor:
    return loop.net.get_parameter(f"{name}.weight" if name else "weight")
