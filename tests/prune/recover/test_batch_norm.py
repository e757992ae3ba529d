from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from nervure.data.dataset import Dataset
from nervure.errors import InputError
from nervure.prune.recover import recover
from nervure.prune.recover.batch_norm import Pooled

Make = Callable[..., nn.Module]
Noise = Callable[..., Dataset]


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.floats(-1e4, 1e4))
def test_pooled_is_numpy_on_all_rows(sizes: list[int], shift: float) -> None:
    x = np.random.default_rng(len(sizes)).normal(shift, 2, (sum(sizes), 3, 2)).astype(np.float32)
    pooled = Pooled()
    for part in np.split(x, np.cumsum(sizes)[:-1]):
        pooled.update(torch.from_numpy(part))
    wide = x.astype(np.float64).transpose(1, 0, 2).reshape(3, -1)
    np.testing.assert_allclose(pooled.mean, wide.mean(1), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(pooled.variance, wide.var(1, ddof=1), rtol=1e-9)


def test_first_norm_has_the_statistics_of_all_samples(seeded: Make, noise: Noise) -> None:
    net = seeded(
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 1), nn.BatchNorm2d(3))
    )
    ds = noise(2, 6, 6, n=130)
    fixed = recover(net, net, ds, method="batch-norm")
    with torch.no_grad():
        given = net[0](ds.batch(range(130)).x).double().transpose(0, 1).flatten(1).numpy()  # type: ignore[index]
    np.testing.assert_allclose(fixed[1].running_mean, given.mean(1), rtol=1e-4, atol=1e-6)  # type: ignore[index]
    np.testing.assert_allclose(fixed[1].running_var, given.var(1, ddof=1), rtol=1e-4)  # type: ignore[index]
    assert not torch.equal(fixed[4].running_mean, net[4].running_mean)  # type: ignore[index]
    assert int(fixed[1].num_batches_tracked) == int(net[1].num_batches_tracked)  # type: ignore[index]
    assert not fixed.training


def test_up_to_fifty_samples_are_one_batch_for_every_norm(seeded: Make, noise: Noise) -> None:
    net = seeded(
        lambda: nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3), nn.BatchNorm1d(3))
    )
    ds = noise(5, n=50)
    fixed, peer = recover(net, net, ds, method="batch-norm"), copy.deepcopy(net).train()
    for norm in (peer[1], peer[4]):  # type: ignore[index]
        norm.momentum = 1.0
    peer(ds.batch(range(50)).x)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(getattr(fixed[4], name), getattr(peer[4], name), rtol=1e-4, atol=1e-6)  # type: ignore[index]


def test_the_output_is_normal_again(seeded: Make, noise: Noise) -> None:
    net = seeded(
        lambda: nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 6), nn.BatchNorm1d(6))
    )
    ds = noise(5, n=200)
    out = recover(net, net, ds, method="batch-norm", samples=200)(ds.batch(range(200)).x).detach()
    np.testing.assert_allclose(out.mean(0), 0, atol=0.05)
    np.testing.assert_allclose(out.std(0), 1, atol=0.05)


@pytest.mark.parametrize("norm", [nn.LayerNorm(4), nn.BatchNorm1d(4, track_running_stats=False)])
def test_what_keeps_no_statistics_stays(norm: nn.Module, seeded: Make, noise: Noise) -> None:
    net = seeded(lambda: nn.Sequential(nn.Linear(5, 4), norm))
    torch.testing.assert_close(recover(net, net, noise(5), method="batch-norm").state_dict(), net.state_dict())


def test_one_sample_is_too_few_for_a_variance(seeded: Make, noise: Noise) -> None:
    net = seeded(lambda: nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4)))
    with pytest.raises(InputError, match="2 or more"):
        recover(net, net, noise(5), method="batch-norm", samples=1)
