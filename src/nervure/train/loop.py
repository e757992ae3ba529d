"""The one training loop: epochs of steps, with everything that happens between them."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor, nn

from nervure.data import Augmentation, Loader
from nervure.data.dataset import Batch, Dataset
from nervure.errors import DivergedError, InputError, InterruptedWork
from nervure.evidence import Figure
from nervure.objectives import Objective
from nervure.registry import nearest
from nervure.store.run import History
from nervure.train.asking import Asking
from nervure.train.callbacks import Callback
from nervure.train.diverged import broken_value, first_broken
from nervure.train.optimizer import Change, carry, load_state, make_optimizer, state_by_name
from nervure.train.random import seed_step
from nervure.train.recipe import Recipe, learning_rate
from nervure.train.runtime import all_sum, broadcast
from nervure.train.synchronise import count_statistics, desynchronise, synchronise

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from nervure.train.place import Place

__all__ = ["Best", "Loop", "Progress"]

_FAR = 1e4  # a loss so many times the first one has diverged, though it is still a number
_LOOK = {"cuda": 50}  # a loss is looked at each so many steps where reading it makes the device wait, else at each


@dataclass(frozen=True)
class Progress:
    """Where training stands; ``row`` is the history's newest, at the end of an epoch, ``stage`` one of several."""

    epoch: int
    epochs: int
    step: int
    steps: int
    row: Mapping[str, float | int | str | None] | None = None
    stage: str = ""


@dataclass(eq=False)
class Best:
    """The best epoch so far, by the recipe's monitor on validation."""

    score: float
    epoch: int
    state: dict[str, Tensor]


class _Step(nn.Module):
    """Network and objective as one module: whatever the objective calls is inside one forward pass."""

    def __init__(self, net: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.net = net
        self.objective = objective

    def forward(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        match self.objective(self.net, batch):
            case (Tensor() as loss, Mapping() as logs) if loss.numel() == 1:
                if torch.is_grad_enabled() and not loss.requires_grad:
                    raise InputError("the objective's loss does not depend on any weight that is trained")
                return loss, logs
        raise InputError(
            "an objective must return two things: the loss, a tensor of one number, and a mapping of what to log"
        )


class Loop:
    """Training under way: the network and all that must be saved to go on with it.

    Attributes
    ----------
    net : Module
        The network as it is now, without any wrapper.
    ds, recipe : Dataset, Recipe
        What it is trained on, and how.
    epoch, step : int
        Epochs finished, and steps finished of the one under way.
    history, evidence : list, dict
        A row an epoch; figures that callbacks leave.
    enough : bool
        Set by a callback to end training after this epoch.
    place : Place, optional
        The run's folder, if training has one; the process of rank 0 writes to it.
    """

    def __init__(
        self,
        net: nn.Module,
        ds: Dataset,
        recipe: Recipe,
        objective: Objective,
        callbacks: Sequence[Callback],
        fabric: Fabric,
        drop_last: bool = False,
        place: Place | None = None,
    ) -> None:
        self.place = place
        self.ds, self.recipe, self.objective, self.fabric = ds, recipe, objective, fabric
        self.callbacks = list(callbacks)
        self.rank, self.world = fabric.global_rank, fabric.world_size
        self.epoch = self.step = self.stale = 0
        self.enough = False
        self.history: History = []
        self.evidence: dict[str, Figure] = {}
        self.best: Best | None = None
        self.first_loss: float | None = None
        self._sums: dict[str, float] = {}
        self._pending: list[tuple[int, Tensor, Mapping[str, Tensor], int]] = []
        self._pause: Callable[[], None] = _go_on  # between batches: ends training if that was asked for
        augment = None if recipe.augment is None else Augmentation.from_json(recipe.augment)
        self.train_data = self._loader("train", recipe.batch, augment, drop_last or recipe.drop_last)
        held_out = "validation" in ds.splits and len(ds.splits["validation"]) > 0
        self.validation_data = self._loader("validation", max(recipe.batch, 256)) if held_out else None
        if recipe.patience is not None and self.validation_data is None:
            raise InputError(
                f"recipe: patience waits for a better measure on validation, and {ds.source} has no validation split; "
                "give one, or leave patience out"
            )
        self._adopt(net)

    def run(
        self, checkpoint: Callable[[], None], progress: Callable[[Progress], None], stop: Callable[[], bool]
    ) -> None:
        """Train until the last epoch, until patience is at its end, or until a callback has seen enough."""
        stop = stop if self.world == 1 else Asking(stop)
        self._pause = lambda: self._end(checkpoint) if stop() else None
        try:
            self._train(checkpoint, progress)
        finally:  # a loop that holds itself would hold its group too, and others would wait for this process
            self._pause = _go_on

    def _train(self, checkpoint: Callable[[], None], progress: Callable[[Progress], None]) -> None:
        while self.epoch < self.recipe.epochs and not self._patience_over() and not self.enough:
            self._epoch(checkpoint, progress)
            checkpoint()
            progress(Progress(self.epoch, self.recipe.epochs, self.steps, self.steps, self.history[-1]))
        for callback in self.callbacks:
            callback.finish(self)

    @property
    def steps(self) -> int:
        """Steps an epoch."""
        return len(self.train_data)

    def state(self) -> dict[str, Any]:
        """Everything that a checkpoint holds, but for the network's structure."""
        self._settle()
        return {
            "epoch": self.epoch,
            "step": self.step,
            "stale": self.stale,
            "enough": self.enough,
            "first_loss": self.first_loss,
            "lr": self.optimizer.param_groups[0]["lr"],
            "history": self.history,
            "sums": self._sums,
            "model": self.net.state_dict(),
            "optimizer": state_by_name(self.optimizer, self.net),
            "precision": self.fabric.strategy.precision.state_dict(),
            "best": None if self.best is None else vars(self.best),
            "callbacks": [
                {"type": type(callback).__qualname__, "state": callback.state_dict()} for callback in self.callbacks
            ],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""
        self.epoch, self.step, self.stale = state["epoch"], state["step"], state["stale"]
        self.enough = bool(state.get("enough", False))
        self.first_loss = state["first_loss"]
        self.history = list(state["history"])
        self._hold(state["sums"])
        self.net.load_state_dict(state["model"])
        load_state(self.optimizer, self.net, state["optimizer"])
        for group in self.optimizer.param_groups:
            group["lr"] = state.get("lr", group["lr"])
        if scale := state.get("precision"):
            self.fabric.strategy.precision.load_state_dict(scale)
        self.best = None if state["best"] is None else Best(**state["best"])
        self._load_callbacks(state["callbacks"])

    def _load_callbacks(self, held: Sequence[Mapping[str, Any]]) -> None:
        """Hand each callback what one of its type had learnt; those that learn nothing may come and go."""
        given = self.callbacks
        if [one["type"] for one in held] != [type(one).__qualname__ for one in given]:
            held = [one for one in held if one["state"]]
            known = [one["type"] for one in held]
            given = [one for one in given if type(one).__qualname__ in known or one.state_dict()]
        were, are = [one["type"] for one in held], [type(one).__qualname__ for one in given]
        if were != are:
            raise InputError(
                f"training was started with the callbacks {', '.join(were) or 'none'}, and these are "
                f"{', '.join(are) or 'none'}; give the same"
            )
        for callback, one in zip(given, held, strict=True):
            callback.load_state_dict(_moved(one["state"], self.fabric.device))

    def _loader(self, split: str, size: int, augment: Augmentation | None = None, drop_last: bool = False) -> Loader:
        copies = self.recipe.copies
        return Loader(
            self.ds,
            split,
            size,
            seed=self.recipe.seed,
            shuffle=split == "train",
            augment=augment,
            copies=None if copies is None else Augmentation.from_json(copies),
            drop_last=drop_last,
            rank=self.rank,
            world=self.world,
            device=self.fabric.device,
        )

    def _adopt(self, net: nn.Module) -> None:
        """Make ``net`` the one that is trained, with a fresh optimizer, wrapped for this group."""
        self.net = synchronise(net) if self.world > 1 else net
        inner = _Step(self.net, self.objective)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            inner.to(self.fabric.device)
            broadcast(self.net.state_dict())
            self.optimizer = make_optimizer(self.recipe, self.net)
            self._module, self._stepper = self.fabric.setup(inner, self.optimizer)

    def _replace(self, change: Change) -> None:
        """Go on with another network: optimizer state follows its map, and the best one so far is void."""
        states = state_by_name(self.optimizer, self.net)
        shapes = {name: parameter.shape for name, parameter in self.net.named_parameters()}
        self._adopt(change.net)
        load_state(self.optimizer, self.net, carry(states, shapes, change))
        self.best, self.stale = None, 0

    def _epoch(self, checkpoint: Callable[[], None], progress: Callable[[Progress], None]) -> None:
        started = time.perf_counter()
        self._module.train()
        for batch in self.train_data.epoch(self.epoch, start=self.step):
            self._one_step(batch)
            self.step += 1
            progress(Progress(self.epoch, self.recipe.epochs, self.step, self.steps))
            self._pause()
            if self.step % self.recipe.checkpoint_steps == 0 and self.step < self.steps:
                self._keep(checkpoint)
        row = self._row(started)
        self.history.append(row)
        self.epoch, self.step, self._sums = self.epoch + 1, 0, {}
        self._judge(row)
        for callback in self.callbacks:
            change = callback.after_epoch(self, row)
            if change is not None:
                self._replace(change)

    def _keep(self, checkpoint: Callable[[], None]) -> None:
        """Keep a checkpoint within an epoch: what was logged so far comes together on the process that writes it."""
        self._settle()
        self._hold(all_sum(self._sums, self.fabric.device))
        checkpoint()

    def _hold(self, sums: Mapping[str, float]) -> None:
        """Go on from sums over all processes, which the first one holds; each of the others begins at zero."""
        self._sums = {name: value if self.rank == 0 else 0.0 for name, value in sums.items()}

    def _end(self, checkpoint: Callable[[], None]) -> NoReturn:
        """Stop as one: no process goes on, perhaps to look for the checkpoint, before it is written."""
        self._keep(checkpoint)
        self.fabric.barrier()
        raise InterruptedWork(f"stopped in epoch {self.epoch + 1}, after step {self.step} of {self.steps}")

    def _one_step(self, batch: Batch) -> None:
        seed_step(self.recipe.seed, self.epoch, self.step, self.rank)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, self.epoch * self.steps + self.step, self.steps)
        whole, mine = self.train_data.count(self.step), len(batch.index)
        used = batch if mine else self.train_data.stand_in()
        if self.world > 1:
            count_statistics(self.net, bool(mine))
        loss, logs = self._module(used)
        if self.step % _LOOK.get(loss.device.type, 1) == 0:
            self._check(float(loss.detach()), self.step + 1, used)
        # gradients are averaged over ranks, so a rank's mean counts by its share of the global batch
        share = 1.0 if self.world == 1 else mine * self.world / whole
        self.fabric.backward(loss if share == 1.0 else loss * share)
        self.fabric.strategy.precision.unscale_gradients(self.optimizer)
        for callback in self.callbacks:
            callback.after_backward(self, used)
        if self.recipe.clip is not None:  # not by Fabric, which would unscale a second time
            nn.utils.clip_grad_norm_(self.net.parameters(), self.recipe.clip)
        self._stepper.step()
        self.optimizer.zero_grad(set_to_none=True)
        for callback in self.callbacks:
            callback.after_step(self, used)
        kept = {name: value.detach() for name, value in {"loss": loss, **logs}.items()}
        self._pending.append((self.step + 1, loss.detach(), kept, mine))

    def _settle(self) -> None:
        """Add up what the steps logged, one after the other, so that a checkpoint in between changes no bit.

        Until then logs stay where they are: reading each at its step would make a device wait. A loss that was not
        looked at, and weights that the last step broke, end training here, before they are validated or written.
        """
        for step, loss, logs, count in self._pending:
            self._check(float(loss), step)
            for name, value in logs.items():
                self._sums[name] = self._sums.get(name, 0.0) + float(value) * count
        if self._pending and (broken := broken_value(self.net)):
            raise self._diverged(self.step, broken)
        self._pending = []

    def _check(self, loss: float, step: int, batch: Batch | None = None) -> None:
        """End training if a step's loss is not finite, or far above the first; by the batch the layer is named."""
        if self.first_loss is None and math.isfinite(loss):
            self.first_loss = loss
        if math.isfinite(loss) and loss <= _FAR * (1 + abs(self.first_loss or 0.0)):
            return
        if math.isfinite(loss):
            why = f"the loss rose to {loss:.3g}"
        elif batch is None:
            why = "the loss is not finite"
        else:
            why = self._broken(batch)
        raise self._diverged(step, why)

    def _broken(self, batch: Batch) -> str:
        """Where numbers end; no layer may wait for other processes, whose losses may be finite."""
        return first_broken(desynchronise(self.net), batch, alone=self.world > 1)

    def _diverged(self, step: int, why: str) -> DivergedError:
        return DivergedError(f"training diverged in epoch {self.epoch + 1}, step {step}: {why}; lower lr, or set clip")

    def _row(self, started: float) -> dict[str, float | int | str | None]:
        row: dict[str, float | int | str | None] = {
            "epoch": self.epoch + 1,
            "lr": self.optimizer.param_groups[0]["lr"],
        }
        self._settle()
        total = self.train_data.total
        row |= {f"train_{name}": value / total for name, value in all_sum(self._sums, self.fabric.device).items()}
        if self.validation_data is not None:
            row |= {f"validation_{name}": value for name, value in self._validate(self.validation_data).items()}
        row["seconds"] = round(time.perf_counter() - started, 3)
        return row

    @torch.no_grad()
    def _validate(self, data: Loader) -> dict[str, float]:
        self.net.eval()
        sums: dict[str, float] = {}
        for step, batch in enumerate(data.epoch(0)):
            mine = len(batch.index)
            if self.world > 1:
                count_statistics(self.net, bool(mine))
            seed_step(self.recipe.seed, 2**20, step)
            used = batch if mine else data.stand_in()
            loss, logs = self.objective(self.net, used)
            if math.isnan(float(loss)):
                raise self._diverged(self.step, f"on validation {self._broken(used)}")
            for name, value in {"loss": loss, **logs}.items():
                sums[name] = sums.get(name, 0.0) + float(value) * mine
            self._pause()
        total = len(self.ds.splits["validation"])
        return {name: value / total for name, value in all_sum(sums, self.fabric.device).items()}

    def _judge(self, row: Mapping[str, float | int | str | None]) -> None:
        """Keep the best epoch; lower loss is better, higher anything else, and what is no number is never the best."""
        split = "train_" if self.validation_data is None else "validation_"
        value = row.get(f"{split}{self.recipe.monitor}")
        if value is None:
            measured = tuple(name.removeprefix(split) for name in row if name.startswith(split))
            raise InputError(
                f"recipe: unknown monitor {self.recipe.monitor!r}; {nearest(self.recipe.monitor, measured)}"
            )
        if self.validation_data is None:
            return
        score = -float(value) if self.recipe.monitor == "loss" else float(value)
        if not math.isnan(score) and (self.best is None or score > self.best.score):
            state = {name: one.detach().clone() for name, one in self.net.state_dict().items()}
            self.best, self.stale = Best(score, self.epoch, state), 0
        else:
            self.stale += 1

    def _patience_over(self) -> bool:
        return self.recipe.patience is not None and self.stale >= self.recipe.patience


def _go_on() -> None:
    """Nobody asks to stop."""


def _moved(tree: Any, device: torch.device) -> Any:
    """What a callback holds, on ``device``; single numbers stay, as an optimizer's count of steps must."""
    if isinstance(tree, Tensor):
        return tree.to(device) if tree.ndim else tree
    if isinstance(tree, dict):
        return {key: _moved(one, device) for key, one in tree.items()}
    if isinstance(tree, list):
        return [_moved(one, device) for one in tree]
    return tree
