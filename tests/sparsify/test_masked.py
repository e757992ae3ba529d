from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from nervure import nets, store, train
from nervure.data import Dataset
from nervure.errors import InputError
from nervure.nets.origin import origin_of
from nervure.sparsify.masked import bake, masked, masks_of, structure, unmasked


def half(net: nn.Module, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(module.weight.shape, generator=generator) > 0.5
        for name, module in net.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    }


@pytest.fixture
def net() -> nn.Module:
    return nets.build("lenet5", in_shape=(1, 12, 12), classes=4, seed=0).eval()


X = torch.randn(3, 1, 12, 12, generator=torch.Generator().manual_seed(1))


def test_it_computes_what_weights_times_masks_compute(net: nn.Module) -> None:
    masks = half(net)
    by_hand = copy.deepcopy(net)
    with torch.no_grad():
        for name, mask in masks.items():
            by_hand.get_submodule(name).weight.mul_(mask)
    before = copy.deepcopy(net.state_dict())
    thin = masked(net, masks)
    assert torch.equal(thin(X), by_hand(X))
    assert not torch.equal(thin(X), net(X))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not masks_of(net)


def test_a_mask_of_ones_changes_no_bit(net: nn.Module) -> None:
    whole = {name: torch.ones_like(one) for name, one in half(net).items()}
    assert torch.equal(masked(net, whole)(X), net(X))


def test_masks_survive_copies_state_dicts_and_runs(net: nn.Module, tmp_path: Path) -> None:
    masks = half(net)
    thin = masked(net, masks)
    store.save(tmp_path / "run", thin)
    fresh = masked(nets.build("lenet5", in_shape=(1, 12, 12), classes=4, seed=9), half(net, 5)).eval()
    fresh.load_state_dict(thin.state_dict())
    for one in (copy.deepcopy(thin), fresh, store.load(tmp_path / "run").net):
        assert torch.equal(one(X), thin(X))
        assert all(torch.equal(mask, masks[name]) for name, mask in masks_of(one).items())
        assert len(masks_of(one)) == len(masks)


def test_baking_makes_zeros_permanent_and_leaves_the_masked_one_whole(net: nn.Module, tmp_path: Path) -> None:
    thin = masked(net, half(net))
    plain = bake(thin)
    assert type(plain.features[0]) is nn.Conv2d
    assert list(plain.state_dict()) == list(net.state_dict())
    assert torch.equal(plain(X), thin(X))
    assert torch.equal(plain.features[0].weight != 0, half(net)["features.0"])
    assert all(not value[value == 0].signbit().any() for value in plain.state_dict().values())
    store.save(tmp_path / "plain", plain)
    assert torch.equal(store.load(tmp_path / "plain").net(X), plain(X))
    assert len(masks_of(thin)) == 5


def test_the_stored_weights_come_back(net: nn.Module) -> None:
    back = unmasked(masked(net, half(net)))
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in back.state_dict().items())


def test_what_is_masked_stays_so_until_it_is_unmasked(net: nn.Module) -> None:
    once = masked(net, half(net))
    twice = masked(once, half(net, 1))
    both = {name: mask & half(net, 1)[name] for name, mask in half(net).items()}
    assert all(torch.equal(mask, both[name]) for name, mask in masks_of(twice).items())
    anew = masks_of(masked(unmasked(once), half(net, 1)))
    assert all(torch.equal(mask, half(net, 1)[name]) for name, mask in anew.items())
    assert len(origin_of(twice).steps) == 2


def test_a_shared_weight_has_one_mask() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    net[2].weight = net[0].weight
    thin = masked(net, {"0": torch.eye(3) > 0})
    assert torch.equal(thin[2].weight, thin[0].weight)
    assert list(masks_of(thin)) == ["0"]
    plain = bake(thin)
    assert plain[0].weight is plain[2].weight
    assert int((plain[0].weight != 0).sum()) == 3


def test_masked_weights_get_no_gradient_and_stay_where_they_are(net: nn.Module, ds: Dataset) -> None:
    net = nets.build("mlp", ds, widths=(8,), seed=0)
    thin = masked(net, half(net))
    recipe = train.Recipe(epochs=1, optimizer="adam", keep="last")
    run = train.fit(thin, ds, recipe, device="cpu")
    after = run.net.classifier[0].parametrizations.weight.original
    gone = ~half(net)["classifier.0"]
    assert torch.equal(after[gone], net.classifier[0].weight[gone])
    assert not torch.equal(after[~gone], net.classifier[0].weight[~gone])


def test_a_masked_network_counts_as_the_plain_one(net: nn.Module) -> None:
    thin = masked(net, half(net))
    assert nets.count(thin, (1, 12, 12)).macs == nets.count(net, (1, 12, 12)).macs
    assert structure(thin) == structure(net)


def test_a_copy_shares_no_class_with_what_it_was_made_of() -> None:
    net = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2), "bias"), nn.Linear(2, 2))
    thin = masked(net, {"0": torch.eye(2) > 0})
    bake(thin)
    unmasked(thin)
    for one in (net, thin):
        assert one(torch.ones(1, 2)).shape == (1, 2)


@pytest.mark.parametrize(
    ("masks", "said"),
    [
        ({"2": torch.ones(1)}, "unknown layer '2'"),
        ({"0": torch.ones(2, 3) > 0}, r"'0': a mask of shape \(2, 3\) does not fit its weight \(3, 2\)"),
        ({"1": torch.ones(1) > 0}, "'1' holds no weight"),
    ],
)
def test_masks_that_do_not_fit_are_named(masks: dict[str, torch.Tensor], said: str) -> None:
    with pytest.raises(InputError, match=said):
        masked(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), masks)


def test_a_weight_that_is_computed_is_refused() -> None:
    with pytest.raises(InputError, match="no weight as a parameter of its own"):
        masked(nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))), {"0": torch.eye(2) > 0})


@pytest.mark.parametrize("layers", [["9"], "0"])
def test_a_step_of_another_network_is_refused(layers: object) -> None:
    from nervure.sparsify.masked import rebuild

    with pytest.raises(InputError, match="step 'mask'"):
        rebuild(nn.Sequential(nn.Linear(2, 2)), {"layers": layers})
