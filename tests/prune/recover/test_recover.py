from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

import nervure as nv
from nervure import nets, prune, train
from nervure.data.dataset import Dataset
from nervure.errors import InputError
from nervure.observe.borrowed import device_of
from nervure.prune.recover import Given, Recovery, Repair, check, figure, methods, recover, theirs
from nervure.prune.recover.bias import BiasCorrection
from nervure.prune.recover.recovery import pick

Make = Callable[..., nn.Module]
Noise = Callable[..., Dataset]
KEPT = [0, 2, 3, 6]


@pytest.fixture
def pair(seeded: Make, thinned: Make) -> tuple[nn.Module, nn.Module]:
    net = seeded(lambda: nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)))
    return thinned(net, [("0", "out", KEPT), ("1", "through", KEPT), ("3", "in", KEPT)]), net


@pytest.mark.parametrize("name", methods.names())
def test_every_method_gives_a_new_network_of_the_same_structure(
    name: str, pair: tuple[nn.Module, nn.Module], noise: Noise
) -> None:
    small, net = pair
    options = {"recipe": {"epochs": 1}} if name == "fine-tune" else {}
    before = [{key: value.clone() for key, value in one.state_dict().items()} for one in pair]
    fixed = recover(small, net, noise(6), method=name, **options)
    assert fixed is not small and isinstance(methods.get(name)(), Recovery)
    assert {key: value.shape for key, value in fixed.state_dict().items()} == {
        key: value.shape for key, value in small.state_dict().items()
    }
    for one, was in zip(pair, before, strict=True):
        torch.testing.assert_close(one.state_dict(), was, rtol=0, atol=0)
    changed = any(not torch.equal(fixed.state_dict()[key], value) for key, value in small.state_dict().items())
    assert changed == (name != "none")


def test_methods_act_one_after_the_other(pair: tuple[nn.Module, nn.Module], noise: Noise) -> None:
    ds = noise(6)
    both = recover(*pair, ds, method=["batch-norm", "kernel-estimation"], ridge=1e-2)
    one = recover(*pair, ds, method="batch-norm")
    two = recover(one, pair[1], ds, ridge=1e-2)
    torch.testing.assert_close(both.state_dict(), two.state_dict(), rtol=0, atol=0)


def test_the_device_is_that_of_all_work_and_the_network_comes_back(
    pair: tuple[nn.Module, nn.Module], noise: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def look(net: nn.Module, given: Given) -> nn.Module:
        seen.extend(str(device_of(one)) for one in (net, given.small, given.original))
        return copy.deepcopy(given.small)

    assert device_of(recover(*pair, noise(6), method=look, device="meta")).type == "cpu"
    assert seen == ["meta", "cpu", "cpu"]
    with pytest.raises(InputError, match="unknown device 'gpu0'"):
        recover(*pair, noise(6), device="gpu0")


def test_own_objects_are_methods(pair: tuple[nn.Module, nn.Module], noise: Noise) -> None:
    def zero(net: nn.Module, given: Given) -> nn.Module:
        net[3].bias.data.zero_()  # type: ignore[index]
        return net

    found = recover(*pair, noise(6), method=[BiasCorrection(), zero])
    assert not found[3].bias.any()  # type: ignore[index]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "kernel-estimate"}, "did you mean 'kernel-estimation'"),
        ({"method": []}, "no method"),
        ({"rigde": 1.0}, "no option 'rigde'; did you mean 'ridge'"),
        ({"method": "bias", "ridge": 1.0}, "no option .ridge.; there are: samples"),
        ({"samples": 0}, "samples = 0"),
        ({"method": "kernel-estimation", "kept": {"0": [0]}}, None),
    ],
)
def test_bad_input(
    options: dict[str, object], said: str | None, pair: tuple[nn.Module, nn.Module], noise: Noise
) -> None:
    if said is None:  # outputs of a layer that lost no inputs are never asked for
        recover(*pair, noise(6), **options)  # type: ignore[arg-type]
        return
    with pytest.raises(InputError, match=said):
        recover(*pair, noise(6), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("kernel-estimate", {}, "did you mean 'kernel-estimation'"),
        ("kernel-estimation", {"rigde": 1.0}, "did you mean 'ridge'"),
        ("bias", {"sample": 5}, "did you mean 'samples'"),
        ("bias", {"samples": "many"}, "samples = 'many'; give a whole number"),
        ("kernel-estimation", {"samples": 2.5}, "samples = 2.5"),
        ("kernel-estimation", {"ridge": "small"}, "ridge = 'small'; give a valid number or 'hold-out'"),
        ("kernel-estimation", {"positions": "all"}, "positions = 'all'"),
        ("kernel-estimation", {"bias": "no"}, "bias = 'no'; give a valid boolean"),
        ("kernel-estimation", {"steps": 0}, "steps = 0"),
        ("kernel-estimation", {"tolerance": "low"}, "tolerance = 'low'"),
        ("kernel-estimation", {"variant": "new"}, "variant = 'new'"),
        ("kernel-estimation", {"target": "old"}, "target = 'old'"),
        ("fine-tune", {"distillation": "half"}, "'fine-tune': distillation = 'half'; give a valid number"),
    ],
)
def test_settings_are_looked_at_beforehand(method: str, options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        check(["batch-norm", method], **options)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_options_go_to_the_methods_that_have_them() -> None:
    both = ("kernel-estimation", "fine-tune")
    options = {"samples": 50, "ridge": 0.1, "temperature": 2}
    check(both, **options)  # type: ignore[arg-type]
    assert theirs("fine-tune", options) == {"samples": 50, "temperature": 2}
    assert theirs(both, options) == options


def test_only_the_layers_named_are_repaired(seeded: Make, noise: Noise) -> None:
    net = seeded(lambda: nets.build("mlp", in_shape=(6,), classes=2, widths=(8, 8)))
    small = prune.plan(net, noise(6), "l1", prune.Target(keep=0.5)).apply(net)
    for method in ("kernel-estimation", "bias"):
        told: list[Repair] = []
        fixed = recover(small, net, noise(6), method=method, layers=["classifier.4"], tell=told.append)
        assert [repair.layer for repair in told] == ["classifier.4"]
        torch.testing.assert_close(fixed.classifier[2].state_dict(), small.classifier[2].state_dict(), rtol=0, atol=0)  # type: ignore[index, union-attr]
    with pytest.raises(InputError, match="no layer 'classifer.4'"):
        recover(small, net, noise(6), layers=["classifer.4"])


def test_the_samples_read_follow_from_the_seed(noise: Noise) -> None:
    first, again, other = (pick(noise(6), 50, seed).tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_networks_in_the_wrong_order(pair: tuple[nn.Module, nn.Module], noise: Noise) -> None:
    with pytest.raises(InputError, match="layer '0' is"):
        recover(pair[1], pair[0], noise(6))
    with pytest.raises(InputError, match="no layer '3'"):
        recover(pair[0], nn.Sequential(nn.Linear(6, 8)), noise(6))


def test_figure_needs_repairs() -> None:
    with pytest.raises(InputError, match="nothing to draw"):
        figure([])
    bars = figure([Repair("a", "x", 0.5, 0.1, 3), Repair("b", "x", 0.4, 0.2, 3)])
    assert bars.values.tolist() == [[0.5, 0.4], [0.1, 0.2]] and "0.2 in b" in bars.alt


@pytest.mark.slow  # trains a network: seeded figures on real data, the spec's last 'done means' of section 10
def test_on_digits() -> None:
    ds = nv.data.load("digits")
    net = nets.build("small-cnn", ds, width=0.25, head=[32], batch_norm=True, seed=0)
    run = train.fit(net, ds, train.Recipe(epochs=6, seed=0, lr=3e-3), device="cpu")

    def accuracy(one: nn.Module) -> float:
        return train.evaluate(one, ds, split="validation", device="cpu").metrics["accuracy"]

    plan = prune.plan(run.net, ds, "l1", prune.Target(keep=0.5))
    small = plan.apply(run.net)
    cut, fixed = accuracy(small), accuracy(recover(small, run.net, ds, kept=plan))
    assert accuracy(run.net) > 0.9
    assert fixed > cut + 0.2
    norm = accuracy(recover(small, run.net, ds, method="batch-norm"))
    assert norm > cut
    both = recover(small, run.net, ds, method=["kernel-estimation", "batch-norm"], kept=plan)
    assert accuracy(both) > norm
