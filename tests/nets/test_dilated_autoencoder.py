import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nervure import nets
from nervure.errors import InputError
from nervure.nets.dilated_autoencoder import SeriesDecoder, depth_for, dilated_autoencoder


def make(in_shape=(2, 12), **more):
    return nets.build("dilated-autoencoder", in_shape=in_shape, classes=3, **{"units": 4, **more})


@settings(max_examples=20)
@given(st.integers(1, 12), st.integers(0, 12), st.booleans(), st.sampled_from(["mean", "attention"]))
def test_padding_changes_neither_latents_nor_reconstruction(length, padding, batch_norm, pooling):
    padding = min(padding, 12 - length)
    net = make(batch_norm=batch_norm, pooling=pooling).eval()
    x = torch.randn(1, 2, length, generator=torch.Generator().manual_seed(length))
    padded = torch.cat([x, torch.full((1, 2, padding), 7.0)], dim=2)
    mask = torch.arange(length + padding)[None] < length
    assert torch.allclose(net.encoder(x), net.encoder(padded, mask), atol=1e-5)
    assert net(padded, mask).shape == padded.shape
    assert torch.allclose(net(x), net(padded, mask)[:, :, :length], atol=1e-5)


def test_padding_stays_out_of_the_statistics_of_training():
    x = torch.randn(4, 2, 7, generator=torch.Generator().manual_seed(0))
    padded, mask = torch.cat([x, torch.ones(4, 2, 5)], dim=2), torch.arange(12)[None].repeat(4, 1) < 7
    one, two = make(batch_norm=True), make(batch_norm=True)
    assert torch.allclose(one.encoder(x), two.encoder(padded, mask), atol=1e-5)
    for a, b in zip(one.encoder.buffers(), two.encoder.buffers(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


@settings(max_examples=20)
@given(st.integers(1, 4), st.integers(1, 200), st.sampled_from(["mean", "attention"]))
def test_any_length_and_number_of_variates(variates, time, pooling):
    net = dilated_autoencoder((variates, time), 0, units=3, pooling=pooling, output="sigmoid")
    x = torch.zeros(2, variates, time)
    out = net(x).detach()
    assert out.shape == x.shape == net.decoder(net.encoder(x)).shape
    assert net.encoder(x).shape == (2, net.latent) == (2, 10)
    assert 0 < float(out.min()) <= float(out.max()) < 1


def test_each_sample_of_a_batch_has_its_own_length():
    net, lengths = make().eval(), torch.tensor([3, 12, 1, 7])
    x = torch.randn(4, 2, 12, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(12) < lengths[:, None]
    together = net.encoder(x, mask)
    for at, length in enumerate(lengths.tolist()):
        assert torch.allclose(together[at : at + 1], net.encoder(x[at : at + 1, :, :length]), atol=1e-5)


def test_a_series_without_values_gives_no_nan():
    for pooling in ("mean", "attention"):
        assert torch.isfinite(make(pooling=pooling)(torch.ones(1, 2, 12), torch.zeros(1, 12, dtype=torch.bool))).all()


@pytest.mark.parametrize(("time", "kernel"), [(30, 3), (100, 3), (200, 5), (500, 3)])
def test_the_last_block_sees_the_whole_series(time, kernel):
    net = make((1, time), depth=depth_for(time, kernel), kernel=kernel).encoder.double()
    x = torch.randn(16, 1, time, dtype=torch.double, generator=torch.Generator().manual_seed(0)).requires_grad_()
    seen = net.stem(x)
    for block in net.blocks:
        seen = block(seen)
    # From the middle half the series lies on either side.
    seen[:, :, time // 2].sum().backward()
    reach = x.grad.abs().sum((0, 1)).nonzero()
    assert int(reach.max() - reach.min()) + 1 >= min(time, 2 ** depth_for(time, kernel))


def test_two_that_differ_only_in_when_are_told_apart():
    early, late = torch.zeros(2, 1, 1, 64)
    early[:, :, 8:12] = 1
    late[:, :, 40:44] = 1

    def apart(**more):
        encoder = make((1, 64), depth=2, **more).eval().encoder
        return float((encoder(early) - encoder(late)).detach().norm() / encoder(early).detach().norm())

    assert apart(positions=0) < 1e-4
    assert min(apart(), apart(pooling="attention")) > 1e-2


def test_the_scale_of_values_is_kept_over_many_blocks():
    net = make((1, 128), units=64, depth=8).encoder
    x = net.stem(torch.randn(8, 1, 128, generator=torch.Generator().manual_seed(0)))
    start = float(x.detach().std())
    for block in net.blocks:
        x = block(x)
    assert 0.2 < float(x.detach().std()) / start < 5


def test_a_decoder_refuses_more_steps_than_it_has():
    with pytest.raises(InputError, match="series of 6 steps, and this decoder gives back 5: build the network for"):
        SeriesDecoder(2, (1, 5), units=3, kernel=3)(torch.zeros(1, 2), 6)
    assert make().encoder(torch.zeros(1, 2, 40)).shape == (1, 3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"in_shape": (1, 28, 28)}, "take conv-autoencoder"),
        ({"in_shape": (6,)}, "take autoencoder"),
        ({"pooling": "max"}, "pooling='max'; choose one of: 'mean', 'attention'"),
        ({"kernel": 4}, "kernel=4; give an odd one"),
        ({"positions": -1}, "positions=-1; give a whole number"),
        ({"depth": 0}, "depth=0; give whole numbers"),
    ],
)
def test_bad_settings_are_one_clear_line(given, message):
    with pytest.raises(InputError, match=message):
        make(**given)
