from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from nervure import nets
from nervure.cluster.invariance import (
    LATENT,
    TRANSFORMS,
    Features,
    Invariance,
    figures,
    measure,
    normalised,
    squared_difference,
    stages,
    watched,
)
from nervure.cluster.net import ClusterNet, attach_head
from nervure.data import Dataset, from_arrays
from nervure.errors import InputError


def net_of(norm: bool = False) -> ClusterNet:
    base = nets.build("conv-autoencoder", in_shape=(1, 16, 16), classes=0, latent=4, batch_norm=norm)
    return attach_head(base, "centres", 3, latent=4)


def images(count: int = 40, seed: int = 0) -> Dataset:
    x = np.random.default_rng(seed).random((count, 1, 16, 16)).astype(np.float32)
    return from_arrays(x, validation=0, test=0, standardize=False)


def test_the_transforms_and_identity_are_the_dihedral_group() -> None:
    image = torch.arange(16.0).view(1, 1, 4, 4)
    every = {"same": lambda x: x, **TRANSFORMS}
    seen = {name: tuple(change(image).flatten().tolist()) for name, change in every.items()}
    assert len(set(seen.values())) == 8
    for one, other in itertools.product(every.values(), repeat=2):
        assert tuple(other(one(image)).flatten().tolist()) in seen.values()
    for change in every.values():  # each has its inverse among them
        assert any(torch.equal(back(change(image)), image) for back in every.values())


def test_turns_and_flips_are_those_of_numpy() -> None:
    image = np.random.default_rng(0).random((2, 1, 5, 5))
    for quarters in (1, 2, 3):
        mine = TRANSFORMS[f"{90 * quarters}"](torch.from_numpy(image)).numpy()
        assert np.array_equal(mine, np.rot90(image, quarters, (-2, -1)))
        flipped = TRANSFORMS[f"flip {90 * quarters}"](torch.from_numpy(image)).numpy()
        assert np.array_equal(flipped, np.rot90(image[..., ::-1], quarters, (-2, -1)))
    assert np.array_equal(TRANSFORMS["flip"](torch.from_numpy(image)).numpy(), image[..., ::-1])


def test_images_that_no_transform_changes_have_no_difference() -> None:
    x = np.random.default_rng(0).random((20, 1, 1, 1)).astype(np.float32) * np.ones((1, 1, 16, 16), np.float32)
    found = measure(net_of(), from_arrays(x, validation=0, test=0, standardize=False))
    assert found.difference.max() == 0
    assert found.share.max() == 0


def test_random_pairs_have_a_share_of_one() -> None:
    x = torch.from_numpy(np.random.default_rng(0).random((4000, 1, 16, 16)).astype(np.float32))
    net = net_of().eval()
    seen = watched(net, x, stages(net))
    for values in seen.values():
        pairs = squared_difference(values[:2000], values[2000:])
        assert normalised(pairs, Features().add(values).variance) == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("norm", [False, True])
def test_one_pass_is_the_loop_over_layers_and_transforms(norm: bool) -> None:
    """Against features taken layer by layer, variance by numpy, all samples at once."""
    net, ds = net_of(norm), images()
    net.train()
    found = measure(net, ds, batch=7)
    assert net.training
    assert found.layers == ("convolution 1", "convolution 2", "convolution 3", LATENT)
    net.eval()
    x = torch.from_numpy(ds.x.astype(np.float32))
    encoder = list(net.encoder)  # type: ignore[call-overload]
    activations = [place + 1 for place, module in enumerate(encoder) if isinstance(module, nn.ReLU)]
    ends = [*activations[:3], len(encoder)]
    with torch.no_grad():
        for row, end in enumerate(ends):
            part = nn.Sequential(*encoder[:end])
            plain = part(x).double().numpy()
            variance = plain.var(axis=0).mean()
            for column, change in enumerate(TRANSFORMS.values()):
                difference = ((plain - part(change(x)).double().numpy()) ** 2).mean()
                assert found.difference[row, column] == pytest.approx(difference, rel=1e-5)
                assert found.share[row, column] == pytest.approx(difference / (2 * variance), rel=1e-5)


def test_scale_changes_the_difference_and_not_the_share() -> None:
    net, ds = net_of(), images()
    before = measure(net, ds)
    with torch.no_grad():
        last = [module for module in net.encoder.modules() if isinstance(module, nn.Linear)][-1]
        last.weight *= 10
        last.bias *= 10
    after = measure(net, ds)
    assert np.allclose(after.difference[-1], 100 * before.difference[-1], rtol=1e-4)
    assert np.allclose(after.share[-1], before.share[-1], rtol=1e-4)


def test_moments_do_not_hang_on_batches() -> None:
    values = torch.from_numpy(np.random.default_rng(0).normal(1e4, 1, (100, 3, 2)))
    whole, parts = Features().add(values), Features()
    for part in values.split(9):
        parts.add(part)
    assert parts.variance == pytest.approx(whole.variance, rel=1e-12)
    assert parts.variance == pytest.approx(float(values.numpy().var(axis=0).mean()), rel=1e-9)


def test_hooks_are_gone_afterwards() -> None:
    net = net_of()
    measure(net, images(5))
    assert not any(module._forward_hooks for module in net.modules())


def test_a_panel_for_each_layer() -> None:
    found = measure(net_of(), images(10))
    panels = figures({"plain": found, "other": found})
    assert [one.title for one in panels] == [f"Invariance, {layer}" for layer in found.layers]
    assert panels[0].values.shape == (2, 7)
    assert np.array_equal(figures({"plain": found}, share=False)[3].values, found.difference[3:4])


def test_what_cannot_be_measured_is_refused() -> None:
    net = net_of()
    wide = from_arrays(np.zeros((4, 1, 16, 12), np.float32), validation=0, test=0, standardize=False)
    with pytest.raises(InputError, match="square images"):
        measure(net, wide)
    with pytest.raises(InputError, match="two images or more"):
        measure(net, images(), np.array([0]))
    with pytest.raises(InputError, match="no model to draw"):
        figures({})
    assert isinstance(measure(net, images(), np.array([0, 1])), Invariance)
