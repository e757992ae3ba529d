"""What every row of the table keeps: a mean over samples, so shards weighted by their counts give the whole."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from nervure import nets, objectives
from nervure.cluster.net import attach_head
from nervure.data.dataset import Batch
from nervure.errors import InputError

CLASSES, FEATURES = 4, 6


def case(name: str) -> tuple[objectives.Objective, nn.Module, Batch]:
    """An objective with a network and a batch that suit it, in float64."""
    made = torch.Generator().manual_seed(3)
    x = torch.randn(11, FEATURES, generator=made, dtype=torch.float64)
    index = torch.arange(11)
    torch.manual_seed(0)
    classifier = nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), nn.Linear(8, CLASSES)).double()
    labels = torch.arange(11) % CLASSES
    if name == "distillation":
        teacher = nn.Linear(FEATURES, CLASSES).double()
        return objectives.make(name, {"teacher": teacher, "weight": 0.4}), classifier, Batch(x, labels, index)
    if name == "cross-entropy":
        options = {"label_smoothing": 0.1, "class_weights": [0.5, 1.0, 2.0, 0.25]}
        return objectives.make(name, options), classifier, Batch(x, labels, index)
    if name in ("mse", "mae", "huber"):
        targets = torch.randn(11, 2, generator=made, dtype=torch.float64)
        return objectives.make(name), nn.Linear(FEATURES, 2).double(), Batch(x, targets, index)
    if name == "reconstruction":
        series = x.reshape(11, 2, 3)
        mask = torch.arange(3) < (torch.arange(11) % 3 + 1)[:, None]
        net = nn.Sequential(nn.Flatten(), nn.Linear(FEATURES, FEATURES), nn.Unflatten(1, (2, 3))).double()
        return objectives.make(name), net, Batch(series, None, index, mask)
    if name == "clustering":
        base = nets.build("autoencoder", in_shape=(FEATURES,), classes=0, widths=[8], latent=3)
        clusterer = attach_head(base, "centres", CLASSES, latent=3).double()
        clusterer.head.centres.copy_(torch.randn(CLASSES, 3, generator=made, dtype=torch.float64))
        clusterer.head.active.fill_(True)
        return objectives.make(name, {"weight": 0.5}), clusterer, Batch(x, None, index)
    raise NotImplementedError(f"objective {name!r} has no case here: add one, so that its contract is tested")


OURS = [name for name, row in objectives.table.rows.items() if row.target.startswith("nervure.")]
each = pytest.mark.parametrize("name", OURS)


def part(batch: Batch, at: slice) -> Batch:
    return Batch(*(None if one is None else one[at] for one in batch))


@each
def test_loss_and_logs_are_scalars(name: str) -> None:
    objective, net, batch = case(name)
    loss, logs = objective(net, batch)
    assert loss.shape == ()
    assert loss.requires_grad
    assert all(isinstance(one, Tensor) and one.shape == () and not one.requires_grad for one in logs.values())
    assert torch.isfinite(loss)


@each
@pytest.mark.parametrize("cuts", [[4], [1, 10], [2, 3, 9]])
def test_shards_weighted_by_counts_equal_the_whole(name: str, cuts: list[int]) -> None:
    objective, net, batch = case(name)
    loss, logs = objective(net, batch)
    grads = torch.autograd.grad(loss, list(net.parameters()))
    bounds = [0, *cuts, 11]
    total, summed, sums = 0.0, [torch.zeros_like(one) for one in grads], dict.fromkeys(logs, 0.0)
    for start, end in itertools.pairwise(bounds):
        shard, told = objective(net, part(batch, slice(start, end)))
        share = (end - start) / 11
        total += share * float(shard.detach())
        summed = [
            one + share * new
            for one, new in zip(summed, torch.autograd.grad(shard, list(net.parameters())), strict=True)
        ]
        sums = {key: value + share * float(told[key]) for key, value in sums.items()}
    assert total == pytest.approx(float(loss.detach()), rel=1e-12)
    assert sums == pytest.approx({key: float(value) for key, value in logs.items()}, rel=1e-6)
    for one, whole in zip(summed, grads, strict=True):
        assert torch.allclose(one, whole, rtol=1e-10, atol=1e-14)


@each
def test_order_does_not_matter(name: str) -> None:
    objective, net, batch = case(name)
    order = torch.randperm(11, generator=torch.Generator().manual_seed(1))
    shuffled = Batch(*(None if one is None else one[order] for one in batch))
    with torch.no_grad():
        assert float(objective(net, shuffled)[0]) == pytest.approx(float(objective(net, batch)[0]), rel=1e-12)


# clustering takes no other network than a clusterer; tests/cluster/test_objective.py checks its gradient
@pytest.mark.parametrize("name", [name for name in OURS if name != "clustering"])
def test_the_gradient_is_that_of_the_loss(name: str) -> None:
    """By finite differences in float64, in the network's output."""
    objective, net, batch = case(name)
    with torch.no_grad():
        out = net(batch.x)

    class Fixed(nn.Module):
        def __init__(self, value: Tensor) -> None:
            super().__init__()
            self.value = value

        def forward(self, x: Tensor) -> Tensor:
            return self.value

    assert torch.autograd.gradcheck(lambda value: objective(Fixed(value), batch)[0], (out.clone().requires_grad_(),))


@each
def test_neither_network_nor_batch_is_changed(name: str) -> None:
    objective, net, batch = case(name)
    before = [one.clone() for one in (*net.parameters(), *(one for one in batch if one is not None))]
    objective(net, batch)
    after = [*net.parameters(), *(one for one in batch if one is not None)]
    assert all(torch.equal(one, two) for one, two in zip(before, after, strict=True))
    assert net.training


@each
def test_an_unknown_option_is_named(name: str) -> None:
    with pytest.raises(InputError, match=f"objective {name!r}.*no_such"):
        objectives.make(name, {"no_such": 1})


def test_an_unknown_name() -> None:
    with pytest.raises(InputError, match="unknown objective 'mes'; did you mean 'mse'"):
        objectives.make("mes")
