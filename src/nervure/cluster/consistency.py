"""Consistency: after each step a second one makes originals and copies agree (spec neural-mixture, 2.6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nervure.cluster.heads.scores import ScoresHead
from nervure.cluster.net import ClusterNet
from nervure.cluster.quiet import quiet_norms
from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.objectives.scores import consistency_loss, posterior
from nervure.train.callbacks import Callback
from nervure.train.optimizer import load_state, state_by_name
from nervure.train.runtime import all_sum, sum_over_ranks

if TYPE_CHECKING:
    from nervure.train.loop import Loop

__all__ = ["Consistency"]


class Consistency(Callback):
    """Two-fold optimisation's second step (Eq 4.24): posteriors of the originals, computed anew, guide the copies'.

    Parameters
    ----------
    lr : float
        Learning rate of its Adam, which has moments of its own.
    """

    def __init__(self, lr: float = 1e-4) -> None:
        if not lr > 0:
            raise InputError(f"consistency: lr = {lr}; give a rate above 0")
        self.lr = lr
        self.optimizer: torch.optim.Optimizer | None = None
        self._net: nn.Module | None = None
        self._loss = 0.0

    def start(self, loop: Loop) -> None:
        """The second optimizer, over the same parameters."""
        if not isinstance(loop.net, ClusterNet) or not isinstance(loop.net.head, ScoresHead):
            raise InputError("callback 'consistency' needs a clusterer with scores: method neural-mixture")
        if loop.recipe.copies is None:
            raise InputError("callback 'consistency' needs transformed copies; give the recipe copies")
        self._net = loop.net
        self.optimizer = torch.optim.Adam([one for one in loop.net.parameters() if one.requires_grad], lr=self.lr)

    def after_step(self, loop: Loop, batch: Batch) -> None:
        """Targets from the moved network, then one step of the copies towards them."""
        net = loop.net
        assert isinstance(net, ClusterNet) and isinstance(net.head, ScoresHead) and self.optimizer is not None
        assert batch.copy is not None
        mine = len(batch.index) if net.head.counted else 0
        with torch.no_grad(), quiet_norms(net.encoder):
            aim = posterior(net.head.normal(net.encode(batch.x, batch.mask)), net.head.log_prior)
        with quiet_norms(net.encoder):
            beside = net.head.normal(net.encode(batch.copy, batch.mask))
        loss: Tensor = consistency_loss(aim, beside, net.head.log_prior)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if loop.world > 1:
            _average(net, mine / loop.train_data.count(loop.step))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._loss += float(loss.detach()) * mine

    def after_epoch(self, loop: Loop, row: dict[str, float | int | str | None]) -> None:
        """The mean loss of the epoch, for the history; moments of a head that was repaired are void."""
        assert self.optimizer is not None and isinstance(loop.net, ClusterNet)
        if "repaired" in row:
            for parameter in loop.net.head.parameters():
                self.optimizer.state.pop(parameter, None)
        total = all_sum({"loss": self._loss}, loop.fabric.device)["loss"]
        row["train_consistency"], self._loss = total / loop.train_data.total, 0.0

    def state_dict(self) -> dict[str, Any]:
        """The optimizer's moments by parameter, and the epoch's sum."""
        assert self.optimizer is not None and self._net is not None
        return {"optimizer": state_by_name(self.optimizer, self._net), "loss": self._loss}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint."""
        assert self.optimizer is not None and self._net is not None
        load_state(self.optimizer, self._net, state["optimizer"])
        self._loss = float(state["loss"])


def _average(net: nn.Module, share: float) -> None:
    """Gradients over all processes, each by its share of the global batch."""
    for parameter in net.parameters():
        if parameter.grad is not None:
            parameter.grad.copy_(sum_over_ranks(parameter.grad * share))
