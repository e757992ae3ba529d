"""Gradient statistics against gradients computed one example at a time."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.observe import GradientTimesActivation, MeanGradient, Moments, Site, collect


def objective(net: nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
    return F.cross_entropy(net(batch.x), batch.y), {}


@pytest.fixture
def net() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(48, 4))


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(10, 1, 6, 6, generator=generator)
    return Batch(x, torch.randint(4, (10,), generator=generator), torch.arange(10))


def one_by_one(net: nn.Sequential, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    activations, gradients = [], []
    for x, y in zip(batch.x, batch.y, strict=True):
        t = net[0](x[None]).detach().requires_grad_()
        F.cross_entropy(net[3](net[2](t.relu())), y[None]).backward()
        activations.append(t.detach())
        gradients.append(t.grad)
    return torch.cat(activations).double(), torch.cat(gradients).double()


@pytest.mark.parametrize("size", [10, 3])
def test_equal_each_examples_own_gradient(net: nn.Sequential, batch: Batch, size: int) -> None:
    parts = [Batch(*whole) for whole in zip(*(part.split(size) for part in batch if part is not None), strict=True)]
    wanted = {"0": [GradientTimesActivation(), MeanGradient()], Site("0", "gradient"): [Moments()]}
    found = collect(net, parts, wanted, objective=objective)
    t, g = one_by_one(net, batch)
    taylor = found[Site("0")][GradientTimesActivation().key].result()
    torch.testing.assert_close(taylor, (t * g).sum((2, 3)).abs().mean(0), rtol=1e-5, atol=1e-7)
    mean = found[Site("0")][MeanGradient().key].result()
    torch.testing.assert_close(mean.signed, g.mean((0, 2, 3)), rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(mean.absolute, g.abs().mean((0, 2, 3)), rtol=1e-5, atol=1e-7)
    moments = found[Site("0", "gradient")][Moments().key].result()
    torch.testing.assert_close(moments.mean, mean.signed, rtol=1e-9, atol=1e-12)


def test_updating_without_a_gradient_is_an_error() -> None:
    for statistic in (GradientTimesActivation(), MeanGradient()):
        with pytest.raises(InputError, match="needs a gradient"):
            statistic.update(torch.ones(1, 1), None)
