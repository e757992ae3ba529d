import numpy as np
import scipy.fft
import torch
from hypothesis import given
from hypothesis import strategies as st

from nervure.nets.seed import seeded
from nervure.nets.time_pooling import AttentionPool, MeanPool


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_means_are_the_first_terms_of_a_cosine_transform():
    x = draw(2, 3, 12)
    wanted = scipy.fft.dct(x.double().numpy(), norm="ortho")[:, :, :6] / np.sqrt(12)
    assert np.allclose(MeanPool(length=12, positions=5)(x).numpy(), wanted.reshape(2, 18), atol=1e-6)


def test_attention_is_the_mean_by_the_softmax_of_scores():
    with seeded(0):
        pool = AttentionPool(3, heads=2, length=5, positions=1)
    x = draw(2, 3, 5)
    place = np.sqrt(2) * np.cos(np.pi * (np.arange(5) + 0.5) / 5)
    weight, bias = pool.score.weight.detach().numpy()[:, :, 0], pool.score.bias.detach().numpy()
    found = pool(x).detach().view(2, 3, 2)
    for n in range(2):
        for head in range(2):
            values = x[n].numpy()
            score = np.exp(weight[head, :3] @ values + weight[head, 3] * place + bias[head])
            assert np.allclose(found[n, :, head].numpy(), (values * score).sum(1) / score.sum(), atol=1e-5)


@given(st.integers(1, 8), st.integers(0, 6), st.booleans())
def test_padding_does_not_change_the_result(length, padding, attention):
    with seeded(0):
        pool = AttentionPool(3, heads=2, length=9, positions=4) if attention else MeanPool(length=9, positions=4)
    x = draw(1, 3, length)
    padded = torch.cat([x, torch.full((1, 3, padding), 7.0)], dim=2)
    mask = torch.arange(length + padding)[None] < length
    assert torch.allclose(pool(x), pool(padded, mask), atol=1e-6)


def test_a_series_without_values_gives_0():
    mask = torch.zeros(1, 4, dtype=torch.bool)
    with seeded(0):
        pools = MeanPool(length=4, positions=2), AttentionPool(3, heads=2, length=4)
    for pool in pools:
        assert not pool(torch.ones(1, 3, 4), mask).any()
