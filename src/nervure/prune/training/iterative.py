"""Iterative pruning by votes: a network loses units of its dense layers while it trains.

Source: spec majority-voting-pruning, 4 (S3, Algorithm 3), and 5 and 6 for sparse networks and CNNs.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from nervure.errors import InputError
from nervure.judge import Criterion
from nervure.nets.cost import weights
from nervure.nets.structure.check import small
from nervure.nets.structure.layers import examine
from nervure.nets.structure.silence import by_group
from nervure.prune.criteria import get as criterion_of
from nervure.prune.criteria.majority_vote import MajorityVote
from nervure.prune.criteria.seen import Where
from nervure.prune.planner import plan
from nervure.prune.target import Target
from nervure.prune.training.carry import parameter_map
from nervure.prune.training.dense import dense_groups, others, widths_of
from nervure.prune.training.figures import cycle_figures
from nervure.prune.training.masks import Masked, example_of
from nervure.prune.training.rules import Cycles, Mode, Rules
from nervure.train.callbacks import Callback
from nervure.train.optimizer import Change, load_state, state_by_name

if TYPE_CHECKING:
    from nervure.train.loop import Loop

__all__ = ["IterativeVotes"]

log = logging.getLogger(__name__)

Row = dict[str, float | int | str | None]


class IterativeVotes(Callback):
    """Prunes the hidden dense layers at the end of each cycle of epochs that sets a new best on validation.

    Score: the recipe's ``monitor`` on validation; take ``monitor="accuracy"`` for the published rule. At a cycle's end
    the best weights of the cycle come back. Each group of units loses the fraction ``remove``, judged on the whole
    training split by the network as it is before the event. Optimizer state and weight masks are cut with the network.
    With ``keep="best"`` the run ends with the best network of the final widths; with ``keep_sizes`` the best of every
    size is kept beside it. Rows of history gain ``cycle``, ``best`` (as it was before the row's cycle ended),
    ``widths``, ``n_weights`` (without biases and masked ones) and ``event``.

    Parameters
    ----------
    remove : float
        The fraction of each layer's units that an event removes: the thesis's k.
    epochs, cycles, stall, cycle_mode, patience, min_delta, tolerance
        See :class:`~nervure.prune.training.rules.Rules`. The recipe's epochs bound everything.
    criterion : str
        ``majority-vote``, or another criterion, as a control.
    l_frac, tensor : float, str
        Options of majority voting.
    samples : int, optional
        How many training samples vote; all by default.
    layers : sequence of str
        Only these dense layers; all hidden ones by default.
    lr_wait, lr_factor : int, float
        The learning rate is multiplied by ``lr_factor`` whenever so many cycles pass without a new best.
    lr_time_decay : float
        The learning rate is divided by ``1 + lr_time_decay * steps``, as some libraries mean "decay".
    keep_sizes : bool
        Keep the best network of each size, by the recipe's monitor, as a run of its own in the folder ``sizes`` of the
        run, named by its widths. Many events make that many times as large as the run, so it is not done unasked.

    Examples
    --------
    >>> import nervure as nv
    >>> ds = nv.data.load("digits")
    >>> net = nv.nets.build("mlp", ds, widths=(40, 20))
    >>> votes = {"name": "iterative-votes", "options": {"epochs": 1, "remove": 0.25, "samples": 100}}
    >>> recipe = nv.train.Recipe(epochs=3, monitor="accuracy", callbacks=(votes,))
    >>> run = nv.train.fit(net, ds, recipe, device="cpu")
    >>> [row["widths"] for row in run.history]
    ['40-20', '30-15', '22-11']
    """

    def __init__(
        self,
        remove: float = 0.05,
        epochs: int = 20,
        cycles: int = 100,
        stall: int | None = 5,
        cycle_mode: Mode = "cap",
        patience: int | None = 5,
        min_delta: float = 0.0,
        tolerance: float = 0.0,
        criterion: str = "majority-vote",
        l_frac: float = 0.2,
        tensor: Where = "pre_bn",
        samples: int | None = None,
        layers: Sequence[str] = (),
        lr_wait: int | None = 2,
        lr_factor: float = 0.5,
        lr_time_decay: float = 0.0,
        keep_sizes: bool = False,
    ) -> None:
        if not 0 < remove < 1:
            raise InputError(f"iterative-votes: remove = {remove!r}; give a fraction between 0 and 1")
        if not 0 < lr_factor <= 1 or lr_time_decay < 0 or (lr_wait is not None and lr_wait < 1):
            raise InputError("iterative-votes: lr_factor lies in (0, 1], lr_wait is 1 or more, lr_time_decay 0 or more")
        self.remove, self.samples, self.layers = remove, samples, tuple(layers)
        self.criterion = self._criterion(criterion, l_frac, tensor)
        if not isinstance(keep_sizes, bool):
            raise InputError(f"iterative-votes: keep_sizes = {keep_sizes!r}; give true or false")
        self.lr_wait, self.lr_factor, self.lr_time_decay = lr_wait, lr_factor, lr_time_decay
        self.keep_sizes = keep_sizes
        rules = Rules(epochs, cycles, stall, cycle_mode, patience, min_delta, tolerance)
        self.machine = Cycles(rules)
        self.names: tuple[str, ...] = ()
        self._scale = 1.0
        self._waited = 0
        self._best: dict[str, Any] | None = None

    @staticmethod
    def _criterion(name: str, l_frac: float, tensor: Where) -> str | Criterion:
        if name == "majority-vote":
            return MajorityVote(l_frac, tensor)
        criterion_of(name)
        return name

    def start(self, loop: Loop) -> None:
        """Find the dense layers, and check that there is something to decide by."""
        if loop.validation_data is None:
            raise InputError(f"iterative-votes decides on validation, and {loop.ds.source} has no such split; give one")
        if self.keep_sizes and loop.place is None:
            raise InputError("iterative-votes: keep_sizes writes beside the run; give out, a folder for the run")
        groups = dense_groups(loop.net, examine(loop.net, self._inputs(loop)), self.layers)
        self.names = tuple(layer for group in groups for layer in group.layers)
        self.machine.best = -math.inf if loop.recipe.monitor == "loss" else 0.0

    def after_backward(self, loop: Loop, batch: object) -> None:
        """Set the learning rate of the coming step."""
        if not self.names:  # neither found at the start nor known from a checkpoint, whose layers may be cut to the end
            raise InputError(f"iterative-votes: {type(loop.net).__name__} has no hidden dense layer that can be cut")
        factor = self._scale / (1 + self.lr_time_decay * (loop.epoch * loop.steps + loop.step))
        for group in loop.optimizer.param_groups:
            group["lr"] *= factor

    def after_epoch(self, loop: Loop, row: Row) -> Change | None:
        """Judge the epoch; at the end of a cycle bring its best weights back, and prune if they are a new best."""
        best = self.machine.best
        verdict = self.machine.after_epoch(self._score(loop, row))
        if verdict.best_in_cycle:
            self._best = self._snapshot(loop)
        row |= {
            "cycle": verdict.cycle,
            "best": best if math.isfinite(best) else None,
            "widths": self._widths(loop),
            "n_weights": weights(loop.net) - sum(one.absent() for one in _masked(loop)),
            "event": int(verdict.prune),
        }
        if not verdict.ends:
            return None
        if not verdict.best_in_cycle:
            self._restore(loop)
        self._best = None
        self._slow_down()
        trained_on = not verdict.stop and loop.epoch < loop.recipe.epochs  # a cut is made good by training alone
        change = self._event(loop) if verdict.prune and trained_on else None
        row["event"] = int(change is not None)
        if change is not None:
            self._keep_size(loop)
        if verdict.stop:
            # The loop counts epochs up to the recipe's; there is nothing left to train for.
            loop.epoch = loop.recipe.epochs
        return change

    def finish(self, loop: Loop) -> None:
        """Keep the last size, and leave the figures."""
        self._keep_size(loop)
        if loop.rank == 0 and not any(row.get("event") for row in loop.history):
            length = self.machine.rules.epochs
            log.warning("iterative-votes removed nothing in %d epochs; a cycle has %d", len(loop.history), length)
        loop.evidence |= cycle_figures(
            loop.history, self.names, widths_of(loop.net, self.names), "sizes" if self.keep_sizes else ""
        )

    def _keep_size(self, loop: Loop) -> None:
        """Write the best network of the size that it has now, which an event is about to leave, or training."""
        if self.keep_sizes and loop.place is not None and loop.best is not None and loop.rank == 0:
            monitor, score = loop.recipe.monitor, loop.best.score
            metrics = {f"validation_{monitor}": -score if monitor == "loss" else score}
            loop.place.keep_size(loop, self._widths(loop), loop.best.state, metrics)

    def _widths(self, loop: Loop) -> str:
        return "-".join(map(str, widths_of(loop.net, self.names)))

    def _score(self, loop: Loop, row: Row) -> float:
        value = row[f"validation_{loop.recipe.monitor}"]
        assert value is not None
        return -float(value) if loop.recipe.monitor == "loss" else float(value)

    def _slow_down(self) -> None:
        self._waited = 0 if self.machine.unimproved == 0 else self._waited + 1
        if self.lr_wait is not None and self._waited >= self.lr_wait:
            self._scale, self._waited = self._scale * self.lr_factor, 0

    def _inputs(self, loop: Loop) -> list[Tensor]:
        return small(loop.net, [example_of(loop)])

    def _event(self, loop: Loop) -> Change | None:
        """Votes of all layers on one network, then all cuts at once; None if no unit can go."""
        inputs = self._inputs(loop)
        graph = examine(loop.net, inputs)
        # A layer of one unit is no longer free, so those named at the start may have become fewer.
        known = {layer for group in dense_groups(loop.net, graph) for layer in group.layers}
        only = [name for name in self.names if name in known]
        if not only:
            return None
        chosen = dense_groups(loop.net, graph, only)
        made = plan(
            loop.net, loop.ds, self.criterion, Target(keep={group.layers[0]: 1 - self.remove for group in chosen}),
            exclude=others(graph, chosen), samples=self.samples, seed=loop.recipe.seed + self.machine.events,
            batch=512, objective=loop.objective, example=inputs, device=str(loop.fabric.device),
        )  # fmt: skip
        thin = made.apply(loop.net, inputs)
        kept = (made.applied or made).kept
        change = Change(thin, parameter_map(loop.net, graph.groups, by_group(graph.groups, kept)))
        for one in _masked(loop):
            one.follow(change)
        return change

    def _snapshot(self, loop: Loop) -> dict[str, Any]:
        optimizer = state_by_name(loop.optimizer, loop.net)
        return {
            "net": _copied(loop.net.state_dict()),
            "optimizer": {name: _copied(state) for name, state in optimizer.items()},
            "masks": [_copied(one.masks) for one in _masked(loop)],
        }

    def _restore(self, loop: Loop) -> None:
        assert self._best is not None
        loop.net.load_state_dict(self._best["net"])
        load_state(loop.optimizer, loop.net, self._best["optimizer"])
        for one, masks in zip(_masked(loop), self._best["masks"], strict=True):
            one.masks = dict(masks)

    def state_dict(self) -> dict[str, Any]:
        """The machine, the learning rate's factor, and the best weights of the cycle."""
        return {
            "machine": self.machine.state_dict(),
            "names": list(self.names),
            "scale": self._scale,
            "waited": self._waited,
            "best": self._best,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.machine.load_state_dict(state["machine"])
        self.names = tuple(state["names"])
        self._scale, self._waited = float(state["scale"]), int(state["waited"])
        self._best = state["best"]


def _masked(loop: Loop) -> list[Masked]:
    return [one for one in loop.callbacks if isinstance(one, Masked)]


def _copied(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: one.detach().clone() if isinstance(one, Tensor) else one for name, one in values.items()}
