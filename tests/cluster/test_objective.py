from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from clusterers import clusterer
from nervure.cluster.heads import Group
from nervure.cluster.net import attach_head
from nervure.cluster.objective import Clustering
from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.objectives.activity import activity_loss

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
BATCH = Batch(X, None, torch.arange(6))


def active(**settings: object) -> nn.Module:
    net = clusterer(**settings)
    net.head.centres.copy_(torch.randn(3, 2, generator=torch.Generator().manual_seed(1)))
    net.head.active.fill_(True)
    return net


def parts(objective: Clustering, net: nn.Module, batch: Batch = BATCH) -> dict[str, float]:
    loss, logs = objective(net, batch)
    return {"loss": float(loss.detach()), **{name: float(value) for name, value in logs.items()}}


def test_the_parts_add_up_with_their_weights() -> None:
    net = active()
    found = parts(Clustering(weight=0.3, activity=(0.1, 0.2, 0.01)), net)
    latents = net.encode(X).detach()
    error = net.decode(latents).detach() - X
    nearest = torch.cdist(latents, net.head.centres.float()).min(1).values
    assert found["reconstruction"] == pytest.approx(float(error.square().sum(1).mean()), rel=1e-5)
    assert found["cluster"] == pytest.approx(float(nearest.square().mean()), rel=1e-4)
    assert found["activity"] == pytest.approx(float(activity_loss(latents, 0.1, 0.2, 0.01)), rel=1e-6)
    expected = found["reconstruction"] + 0.3 * found["cluster"] + found["activity"]
    assert found["loss"] == pytest.approx(expected, rel=1e-6)


def test_labels_and_links_have_weights() -> None:
    net = active(label_outputs=3)
    net.head.beliefs = net.head(net.encode(X)).exp().detach()
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    found = parts(Clustering(label_weight=2.0, labels=labels, must=[(0, 1)], cannot=[(2, 3)], link_weight=0.5), net)
    expected = found["reconstruction"] + 0.1 * found["cluster"] + 2 * found["labels"] + 0.5 * found["links"]
    assert found["loss"] == pytest.approx(expected, rel=1e-6)
    assert found["links"] > 0


def test_copies_leave_running_statistics() -> None:
    base = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    net = attach_head(base, "scores", 3, latent=8).train()
    net.head.active.fill_(True)
    twin = copy.deepcopy(net)
    Clustering(reconstruction=0.0, weight=1.0)(net, BATCH._replace(copy=X + 5))
    twin.encode(X)
    for name, value in twin.encoder.named_buffers():
        assert torch.equal(value, net.encoder.get_buffer(name)), name


def test_the_decoder_reads_what_the_head_makes_of_latents() -> None:
    """Draws while training, of a head whose latents are uncertain."""
    net = clusterer("variational")
    net.head.active.fill_(True)
    torch.manual_seed(0)
    drawn, plain = (
        {parts(Clustering(), net.train(mode))["reconstruction"] for _ in range(3)} for mode in (True, False)
    )
    assert (len(drawn), len(plain)) == (3, 1)


def test_activity_may_be_of_signed_latents() -> None:
    net = active()
    signed = parts(Clustering(activity=(0.1, 0.2, 0.0), rectify=False), net)["activity"]
    assert signed == pytest.approx(float(activity_loss(net.encode(X).detach(), 0.1, 0.2, 0.0, rectify=False)), rel=1e-6)


def test_an_inactive_head_takes_no_part() -> None:
    assert set(parts(Clustering(), clusterer())) == {"loss", "reconstruction"}


def test_alone_drops_the_reconstruction_once_the_head_is_active() -> None:
    assert set(parts(Clustering(alone=True), active())) == {"loss", "cluster"}
    assert set(parts(Clustering(alone=True), clusterer())) == {"loss", "reconstruction"}


@pytest.mark.parametrize("term", ["cluster", "mixture", "labels", "activity"])
def test_each_term_alone_reaches_the_first_layer(term: str) -> None:
    """And nothing reaches the cluster parameters (spec deepcluster, 11)."""
    if term == "mixture":
        net = clusterer("mixture")
        net.head.begin(Group.alone(net.encode(torch.randn(60, 4, generator=torch.Generator().manual_seed(2))).detach()))
    else:
        net = active(label_outputs=3)
    options = {
        "cluster": {"reconstruction": 0.0, "weight": 1.0},
        "mixture": {"reconstruction": 0.0, "weight": 1.0},
        "labels": {"reconstruction": 0.0, "weight": 0.0, "label_weight": 1.0},
        "activity": {"reconstruction": 0.0, "weight": 0.0, "activity": (1.0, 1.0, 1.0)},
    }[term]
    loss, _ = Clustering(**options, labels=torch.tensor([0, 1, 2, 0, 1, 2]))(net, BATCH)
    loss.backward()
    first = next(module for module in net.encoder.modules() if isinstance(module, nn.Linear))
    assert float(first.weight.grad.abs().sum()) > 0
    assert not list(net.head.parameters())


def test_unknown_labels_do_not_count() -> None:
    net = active(label_outputs=3)
    goal = Clustering(label_weight=1.0, labels=torch.tensor([0, -1, 2, -1, -1, -1]))
    few = parts(goal, net, Batch(X[[2, 0]], None, torch.tensor([2, 0])))
    assert parts(goal, net)["labels"] == pytest.approx(few["labels"], rel=1e-5)


def test_labels_are_asked_for_by_name() -> None:
    with pytest.raises(InputError, match="none are given"):
        Clustering(label_weight=1.0)(active(), BATCH._replace(y=torch.zeros(6, dtype=torch.int64)))
    with pytest.raises(InputError, match="needs a clusterer"):
        Clustering()(nn.Linear(4, 2), BATCH)


def test_the_gradient_is_that_of_the_loss() -> None:
    """By finite differences, in what the network reads."""
    net = active().double()

    def loss(x: Tensor) -> Tensor:
        return Clustering(weight=0.5, activity=(0.1, 0.1, 0.1))(net, Batch(x, None, torch.arange(6)))[0]

    assert torch.autograd.gradcheck(loss, (X.double().requires_grad_(),))
