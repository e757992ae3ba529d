from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from nervure import export, nets, observe, prune, sparsify, train
from nervure.data import Dataset, load
from nervure.errors import InputError
from nervure.nets.structure.layers import examine
from nervure.nets.structure.surgery import trace
from nervure.observe.ready import refuse_closed


@pytest.fixture(scope="module")
def digits() -> Dataset:
    ds = load("digits")
    return ds.subset(range(60))


def small() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 10))


HALF = prune.Target(keep=0.5)


def test_scripts_are_refused_in_a_line(digits: Dataset) -> None:
    net = torch.jit.script(small())
    for call in (
        lambda: prune.plan(net, digits, "l1", HALF),
        lambda: prune.plan(small(), digits, "l1", HALF).apply(net),
        lambda: prune.recover(net, net, digits),
        lambda: sparsify.plan(net, digits, "magnitude", 0.5),
        lambda: observe.collect(net, [torch.rand(2, 1, 8, 8)], {"0": [observe.Moments()]}),
        lambda: nets.count(net, (1, 8, 8)),
    ):
        with pytest.raises(InputError, match="is a script, whose layers cannot be reached; give the module"):
            call()


def test_weights_without_a_shape_are_refused() -> None:
    net = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
    with pytest.raises(InputError, match=r"weights without a shape, '1.weight'; call it on a sample first"):
        nets.count(net, (1, 8, 8))
    with pytest.raises(InputError, match="is no network"):
        refuse_closed(nn.Linear)  # type: ignore[arg-type]


def test_what_torch_compile_gives_is_observed_but_not_cut(digits: Dataset) -> None:
    plain = small()
    net = torch.compile(plain, backend="eager")
    with pytest.raises(InputError, match="give the network itself, net._orig_mod, and compile"):
        prune.plan(net, digits, "l1", HALF)
    batch = torch.rand(3, 1, 8, 8)
    key = observe.Moments().key
    seen = observe.collect(net, [batch], {"_orig_mod.0": [observe.Moments()]})
    same = observe.collect(plain, [batch], {"0": [observe.Moments()]})
    one, two = (next(iter(found.values()))[key].result() for found in (seen, same))
    assert torch.equal(one.mean, two.mean)


@pytest.mark.parametrize("type_", [torch.float64, torch.bfloat16])
def test_weights_of_another_type_than_samples_are_refused_where_samples_are_read(
    digits: Dataset, type_: torch.dtype
) -> None:
    net = small().to(type_)
    name = str(type_).removeprefix("torch.")
    for call in (
        lambda: prune.plan(net, digits, "majority-vote", HALF),
        lambda: prune.recover(
            prune.plan(net, None, "l1", HALF, example=torch.rand(3, 1, 8, 8).to(type_)).apply(net), net, digits
        ),
        lambda: train.fit(net, digits, train.Recipe(epochs=1)),
        lambda: train.evaluate(net, digits),
        lambda: train.predict(net, digits),
    ):
        with pytest.raises(InputError, match=rf"'0.weight' of Sequential is {name}, and samples are float32"):
            call()
    plan = prune.plan(net, digits, "l1", HALF)
    assert sum(one.numel() for one in plan.apply(net).parameters()) == plan.params_after


def test_export_refuses_a_script(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a script"):
        export.write(torch.jit.script(small()), tmp_path / "net.onnx", "onnx", samples=torch.rand(2, 1, 8, 8))


def test_a_part_that_is_a_script_is_refused_by_name(digits: Dataset) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Sequential(torch.jit.script(nn.Linear(64, 8)), nn.ReLU()), nn.Linear(8, 10))
    for call in (
        lambda: examine(net, torch.rand(3, 1, 8, 8)),
        lambda: trace(net, torch.rand(3, 1, 8, 8)),
        lambda: prune.plan(net, digits, "l1", HALF),
        lambda: observe.collect(net, [torch.rand(2, 1, 8, 8)], {"2": [observe.Moments()]}),
    ):
        with pytest.raises(InputError, match=r"'1\.0' of Sequential is a script, .*; give the module"):
            call()
