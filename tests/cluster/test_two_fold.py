"""Two-fold optimisation's second step, held against one made by hand."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nervure import cluster
from nervure.cluster.consistency import Consistency
from nervure.cluster.heads import Group, Refreshed
from nervure.cluster.heads.scores import ScoresHead
from nervure.cluster.net import ClusterNet
from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.train.loop import Loop

Blobs = tuple[NDArray[np.float32], NDArray[np.int64]]


def disagreement(net: ClusterNet, batch: Batch) -> torch.Tensor:
    """Equation 4.24 in the words of torch: originals aim, copies follow."""
    prior = net.head.prior.log() if net.head.priors else 0.0
    with torch.no_grad():
        aim = (net.head.normal(net.encode(batch.x)) + prior).log_softmax(dim=1)
    followed = (net.head.normal(net.encode(batch.copy)) + prior).log_softmax(dim=1)
    return (aim.exp() * (aim - followed)).sum(dim=1).mean()


@pytest.mark.parametrize("priors", [False, True])
def test_the_second_step_is_adam_on_the_disagreement_of_the_moved_network(
    blobs: Blobs, priors: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Optimizer 2 has moments of its own, and sees what optimizer 1 moved; aims are computed anew."""
    twin: ClusterNet | None = None
    adam: torch.optim.Optimizer | None = None
    begun: list[dict[str, torch.Tensor]] = []
    losses: list[float] = []
    after_step = Consistency.after_step

    def beside(self: Consistency, loop: Loop, batch: Batch) -> None:
        nonlocal twin, adam
        if twin is None or adam is None:
            twin = copy.deepcopy(loop.net)
            adam = torch.optim.Adam(twin.parameters(), lr=0.01)
        moved = {name: value.detach().clone() for name, value in loop.net.named_parameters()}
        assert not begun or any(not torch.equal(moved[name], value) for name, value in begun[-1].items())
        twin.load_state_dict(loop.net.state_dict())
        adam.zero_grad()
        loss = disagreement(twin, batch)
        loss.backward()
        losses.append(float(loss.detach()))
        adam.step()
        after_step(self, loop, batch)
        begun.append({name: value.detach().clone() for name, value in loop.net.named_parameters()})
        assert any(not torch.equal(moved[name], value) for name, value in begun[-1].items())
        for name, value in twin.named_parameters():
            # a bias before the norm has no gradient but rounding, which Adam makes as large as any other
            if name != "head.linear.bias":
                assert torch.allclose(begun[-1][name], value, atol=1e-5), name

    monkeypatch.setattr(Consistency, "after_step", beside)
    model = cluster.NeuralMixture(
        3, optimisation="two-fold", priors=priors, epochs=2, batch_size=30, consistency_lr=0.01, lr=0.01,
        network="mlp", network_options={"widths": [8]}, n_init=1, random_state=1, device="cpu", patience=0,
    ).fit(blobs[0])  # fmt: skip
    assert len(begun) == 10
    means = [sum(losses[:5]) / 5, sum(losses[5:]) / 5]
    assert [row["train_consistency"] for row in model.run_.history] == pytest.approx(means, rel=1e-3)


def test_consistency_alone_takes_no_rate_but_its_own(blobs: Blobs) -> None:
    with pytest.raises(InputError, match="^lr: .* consistency_lr"):
        cluster.NeuralMixture(3, optimisation="consistency", lr=0.05, epochs=1).fit(blobs[0])
    for optimisation in ("consistency", "em-alone"):  # copies may be given to all
        cluster.NeuralMixture(
            3, optimisation=optimisation, copies={"jitter": 0.1}, consistency_lr=0.05, epochs=1, n_init=1
        ).fit(blobs[0])  # fmt: skip


def test_moments_of_a_head_that_was_reset_are_void(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[tuple[str, int, int]] = []
    refresh, after_epoch = ScoresHead.refresh, Consistency.after_epoch

    def late(head: ScoresHead, group: Group, epoch: int) -> Refreshed:
        found = refresh(head, group, epoch)
        return found if epoch < 2 else dataclasses.replace(
            found, repaired=("cluster 0 reset",), renewed=tuple(head.parameters())
        )  # fmt: skip

    def counted(self: Consistency, loop: Loop, row: dict[str, float | int | str | None]) -> None:
        after_epoch(self, loop, row)
        own = set(loop.net.head.parameters())
        held.append(
            (str(row.get("repaired")), *(len(own & set(one.state)) for one in (loop.optimizer, self.optimizer)))
        )

    monkeypatch.setattr(ScoresHead, "refresh", late)
    monkeypatch.setattr(Consistency, "after_epoch", counted)
    cluster.NeuralMixture(3, epochs=2, batch_size=20, n_init=1, optimisation="two-fold", random_state=1).fit(blobs[0])
    assert held == [("None", 2, 2), ("cluster 0 reset", 0, 0)]
