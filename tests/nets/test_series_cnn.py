import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nervure import nets


def make(**settings):
    return nets.build("series-cnn", in_shape=(2, 12), classes=3, units=[5, 4], kernels=[5, 3], **settings)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 12), st.integers(0, 9), st.booleans())
def test_padding_does_not_change_the_result(length, padding, batch_norm):
    net = make(batch_norm=batch_norm).eval()
    x = torch.randn(1, 2, length, generator=torch.Generator().manual_seed(length))
    padded = torch.cat([x, torch.full((1, 2, padding), 7.0)], dim=2)
    mask = torch.arange(length + padding)[None] < length
    assert torch.allclose(net(x), net(padded, mask), atol=1e-5)


def test_padding_stays_out_of_the_statistics_of_training():
    x = torch.randn(4, 2, 12, generator=torch.Generator().manual_seed(0))
    padded, mask = torch.cat([x, torch.zeros(4, 2, 6)], dim=2), torch.arange(18)[None].repeat(4, 1) < 12
    one, two = make(), make()
    out = one(x), two(padded, mask)
    assert torch.allclose(*out, atol=1e-5)
    for a, b in zip(one.buffers(), two.buffers(), strict=True):
        # The unbiased variance divides by one less than the count, which is the same here.
        assert torch.allclose(a, b, atol=1e-6)


def test_a_series_without_values_gives_no_nan():
    assert torch.isfinite(make().eval()(torch.ones(1, 2, 4), torch.zeros(1, 4, dtype=torch.bool))).all()
