from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from torch import nn

from nervure.objectives.centres import centre_loss, squared_distances


@given(st.integers(1, 9), st.integers(1, 6), st.integers(1, 5), st.sampled_from([0.0, 1e3, -1e8]), st.integers(0, 99))
def test_distances_as_scipy_wherever_the_latents_lie(n: int, k: int, d: int, offset: float, seed: int) -> None:
    draw = np.random.default_rng(seed)
    h, centres = draw.normal(size=(n, d)) + offset, draw.normal(size=(k, d)) + offset
    found = squared_distances(torch.from_numpy(h), torch.from_numpy(centres))
    assert (found >= 0).all()
    np.testing.assert_allclose(found, cdist(h, centres, "sqeuclidean"), rtol=1e-12, atol=1e-300)


def test_far_offsets_in_single_precision() -> None:
    """Where ‖a‖² + ‖b‖² - 2ab has no digit left."""
    h = torch.tensor([[1e6, 0.0], [1e6 + 1, 0.0]])
    assert squared_distances(h, h).tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_ties_go_to_the_lowest_index() -> None:
    draw = torch.Generator().manual_seed(0)
    centres = torch.randn(4, 7, generator=draw)[[0, 1, 1, 2, 0, 3]]
    nearest = squared_distances(torch.randn(500, 7, generator=draw), centres).argmin(dim=1)
    assert set(nearest.tolist()) == {0, 1, 3, 5}


def test_a_sample_is_as_far_in_any_batch() -> None:
    draw = torch.Generator().manual_seed(0)
    h, centres = torch.randn(300, 33, generator=draw), torch.randn(40, 33, generator=draw)
    whole = squared_distances(h, centres)
    assert torch.equal(whole, torch.cat([squared_distances(part, centres) for part in h.split(7)]))


def test_exported_graphs_give_the_same() -> None:
    class Distances(nn.Module):
        def forward(self, h: torch.Tensor) -> torch.Tensor:
            return squared_distances(h, torch.arange(6.0).reshape(3, 2))

    rows = torch.export.Dim("rows")
    graph = torch.export.export(Distances(), (torch.rand(4, 2),), dynamic_shapes=({0: rows},)).module()
    h = torch.rand(7, 2)
    torch.testing.assert_close(graph(h), Distances()(h))


def test_gradients_of_distances() -> None:
    h = torch.tensor([[0.0, 1.0], [2.0, 2.0]], dtype=torch.float64, requires_grad=True)
    centres = torch.tensor([[0.0, 0.5], [1.0, -1.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(squared_distances, (h, centres))
    # on a centre the gradient is 0, and no NaN
    on = h.detach()[:1].clone().requires_grad_()
    squared_distances(on, h.detach()).sum().backward()
    assert torch.equal(on.grad, 2 * (h[:1] - h[1:]).detach())


def test_the_loss_sums_over_dimensions_and_averages_over_samples() -> None:
    h = torch.tensor([[1.0, 2.0, 2.0], [0.0, 0.0, 3.0]], requires_grad=True)
    centres = torch.zeros(2, 3, requires_grad=True)
    loss = centre_loss(h, centres, torch.tensor([1, 0]))
    loss.backward()
    assert float(loss.detach()) == (9 + 9) / 2
    assert torch.equal(h.grad, h.detach())
    assert centres.grad is None


def test_the_loss_is_the_inertia_of_k_means() -> None:
    h = np.random.default_rng(0).normal(size=(60, 3))
    model = KMeans(4, n_init=1, random_state=0).fit(h)
    centres, assigned = torch.from_numpy(model.cluster_centers_), torch.from_numpy(model.labels_).long()
    latents = torch.from_numpy(h)
    assert float(centre_loss(latents, centres, assigned)) == pytest.approx(model.inertia_ / 60, rel=1e-12)
    assert torch.equal(squared_distances(latents, centres).argmin(dim=1), assigned)


def test_it_reaches_the_first_weights_of_an_encoder() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
        x = torch.rand(5, 1, 8, 8)
    centre_loss(encoder(x), torch.zeros(2, 3), torch.tensor([0, 1, 0, 1, 0])).backward()
    assert encoder[0].weight.grad.abs().max() > 0


def test_half_precision_is_measured_in_single() -> None:
    h = torch.full((4, 300), 300.0, dtype=torch.float16)
    assert squared_distances(h, torch.zeros(1, 300)).tolist() == [[pytest.approx(300**3)]] * 4
    assert float(centre_loss(h, torch.zeros(1, 300), torch.zeros(4, dtype=torch.int64))) == pytest.approx(300**3)
