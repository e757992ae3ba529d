import numpy as np
import pytest
import torch

from nervure import data, nets


@pytest.mark.parametrize(
    ("kind", "in_shape", "unequal", "name"),
    [
        ("image", (3, 40, 40), False, "conv-autoencoder"),
        ("table", (5,), False, "autoencoder"),
        ("series", (2, 50), False, "conv-autoencoder"),
        ("series", (2, 7), False, "autoencoder"),
        ("series", (2, 50), True, "dilated-autoencoder"),
        ("series", (1, 1), True, "dilated-autoencoder"),
    ],
)
def test_the_auto_encoder_named_for_the_data_reads_it(kind, in_shape, unequal, name):
    found, settings = nets.default_autoencoder(kind, in_shape, unequal)
    assert found == name
    net = nets.build(found, in_shape=in_shape, classes=3, **settings)
    x = torch.zeros(2, *in_shape)
    assert net.encoder(x).shape == (2, net.latent) == (2, 3)
    assert net.decoder(net.encoder(x)).shape == net(x).shape == x.shape


def test_the_data_says_what_is_needed():
    x = np.random.default_rng(0).normal(size=(20, 1, 9))
    x[::2, :, 5:] = np.nan
    ds = data.from_arrays(x, kind="series")
    assert nets.default_autoencoder(ds.kind, ds.in_shape, ds.mask is not None)[0] == "dilated-autoencoder"
