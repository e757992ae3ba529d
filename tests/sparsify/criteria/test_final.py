from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

from nervure.data import Batch
from nervure.errors import InputError
from nervure.features import inf_fs
from nervure.sparsify.criteria.final import final_scores, responses
from nervure.sparsify.criteria.isparse import ISparse
from nervure.sparsify.layers import checked, prunable


@pytest.mark.parametrize("initial", ["inf-fs", "pca", "identity"])
@pytest.mark.parametrize("outputs", [1, 2, 5])
def test_scores_are_finite_and_positive(initial: str, outputs: int) -> None:
    generator = torch.Generator().manual_seed(0)
    seen = torch.rand(30, outputs, generator=generator).softmax(1)
    some = torch.cat([seen, torch.full((30, 1), 0.5)], 1)
    for given in (seen, torch.ones(30, outputs), some):
        found = final_scores(given, initial)
        assert found.shape == (given.shape[1],) and bool((found > 0).all()) and bool(found.isfinite().all())
    if outputs < 3:
        assert (final_scores(seen, initial) == 1).all()


def test_too_many_outputs_are_refused_before_they_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """A matrix of all outputs by all would take their number squared; 20,000 take 3 GB, and several are needed."""
    monkeypatch.setattr(inf_fs, "spearman", lambda columns: pytest.fail("compared"))
    wide = torch.rand(2, 20_000)
    with pytest.raises(InputError, match="at most 4096 outputs, and these are 20000; give initial='identity'"):
        final_scores(wide)
    assert len(final_scores(wide, "identity")) == len(final_scores(wide, "pca")) == 20_000
    batches = [Batch(torch.zeros(1, 2), None, torch.arange(1)), None]  # the second is never read
    net = nn.Linear(2, 20_000, bias=False)
    with pytest.raises(InputError, match="at most 4096"):
        ISparse().prepare(net, batches, checked(prunable(net)))  # type: ignore[arg-type]


def test_principal_components_score_by_their_share() -> None:
    x = np.random.default_rng(0).normal(size=(50, 4)) * [3, 1, 0.5, 0.1]
    model = PCA(n_components=0.95, svd_solver="full").fit(x)
    shares = model.explained_variance_ / x.var(0, ddof=1).sum()
    wanted = np.abs(model.components_).T @ shares
    assert final_scores(torch.from_numpy(x), "pca").numpy() == pytest.approx(wanted)


def test_responses_are_those_of_the_first_samples() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(4, 3))
    batches = [Batch(torch.rand(3, 2, 2), None, torch.arange(3)), Batch(torch.rand(3, 2, 2), None, torch.arange(3))]
    (found,) = responses(net, batches, 4)
    net.eval()
    wanted = torch.cat([net(batches[0].x), net(batches[1].x[:1])]).softmax(1)
    assert torch.allclose(found, wanted)
    assert torch.allclose(responses(net, batches, None, softmax=False)[0][3:], net(batches[1].x))


def test_maps_count_by_their_means() -> None:
    net = nn.Conv2d(1, 3, 1)
    x = torch.rand(2, 1, 4, 4)
    (found,) = responses(net, [Batch(x, None, torch.arange(2))], None)
    assert torch.allclose(found, net(x).softmax(1).mean((2, 3)))


def test_broken_outputs_are_refused() -> None:
    batch = Batch(torch.full((2, 1), float("nan")), None, torch.arange(2))
    with pytest.raises(InputError, match="outputs are NaN"):
        responses(nn.Linear(1, 3), [batch], None)
    with pytest.raises(InputError, match="loader is empty"):
        responses(nn.Linear(1, 3), [], None)
