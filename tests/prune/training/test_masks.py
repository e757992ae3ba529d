"""Masked training is compacted training, and what is masked stays zero."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from nervure import nets, train
from nervure.data import Dataset
from nervure.errors import InputError
from nervure.nets.structure.check import halves
from nervure.nets.structure.cut import cut
from nervure.nets.structure.silence import by_group
from nervure.nets.structure.surgery import trace
from nervure.prune.training import WeightMask, parameter_map
from nervure.train import Callback, Change, Loop, Recipe


def kept_of(net: nn.Module, ds: Dataset) -> dict[str, list[int]]:
    graph = trace(net, ds.batch(ds.indices("train")[:3]).x)
    return {name: units.tolist() for name, units in halves(graph).items()}


class CutOnce(Callback):
    def __init__(self, keep: dict[str, list[int]]) -> None:
        self.keep = keep

    def after_epoch(self, loop: Loop, row: dict[str, Any]) -> Change | None:
        if loop.epoch != 1:
            return None
        groups = trace(loop.net, loop.ds.batch([0, 1]).x).groups
        kept = by_group(groups, self.keep)
        return Change(cut(loop.net, groups, kept), parameter_map(loop.net, groups, kept))


class MaskOnce(WeightMask):
    def start(self, loop: Loop) -> None:
        pass

    def after_epoch(self, loop: Loop, row: dict[str, Any]) -> None:
        if loop.epoch == 1:
            WeightMask.start(self, loop)


RECIPES = {
    "sgd": Recipe(epochs=3, batch=64, optimizer="sgd", lr=0.05, momentum=0.0, keep="last"),
    "momentum": Recipe(epochs=3, batch=64, optimizer="sgd", lr=0.02, momentum=0.9, weight_decay=2e-3, keep="last"),
    "clipped": Recipe(
        epochs=3, batch=64, optimizer="sgd", lr=0.02, nesterov=True, weight_decay=2e-3, clip=0.5, keep="last"
    ),
}
NETS = {
    "mlp": lambda ds: nets.build("mlp", ds, widths=(16, 12)),
    "sigmoid": lambda ds: nets.build("mlp", ds, widths=(16, 12), activation="sigmoid"),
    "batch-norm": lambda ds: nets.build("mlp", ds, widths=(16, 12), batch_norm=True),
    "cnn": lambda ds: nets.build("small-cnn", ds, width=0.125, head=(16,)),
}


@pytest.mark.parametrize(
    ("kind", "recipe"), [("mlp", "sgd"), ("mlp", "momentum"), ("mlp", "clipped"), ("sigmoid", "momentum"),
                         ("batch-norm", "momentum"), ("cnn", "momentum")]
)  # fmt: skip
def test_masked_training_is_compacted_training(ds: Dataset, kind: str, recipe: str) -> None:
    net = NETS[kind](ds)
    keep = kept_of(net, ds)
    small = train.fit(net, ds, RECIPES[recipe], device="cpu", callbacks=[CutOnce(keep)]).net
    masked = train.fit(net, ds, RECIPES[recipe], device="cpu", callbacks=[MaskOnce(keep)]).net
    groups = trace(masked, ds.batch([0, 1]).x).groups
    again = cut(masked, groups, by_group(groups, keep)).state_dict()
    assert sum(one.numel() for one in small.parameters()) < sum(one.numel() for one in net.parameters())
    for name, value in small.state_dict().items():
        assert torch.allclose(value, again[name], atol=1e-6), name
    x = ds.batch(ds.indices("test")).x
    assert torch.allclose(small(x), masked(x), atol=1e-5)


def test_masked_weights_stay_zero_at_every_step(ds: Dataset) -> None:
    class Watch(Callback):
        seen = 0

        def after_step(self, loop: Loop, batch: object) -> None:
            mask = next(one for one in loop.callbacks if isinstance(one, WeightMask))
            for name, where in mask.masks.items():
                assert not bool(loop.net.get_parameter(name)[~where].any())
                for value in loop.optimizer.state[loop.net.get_parameter(name)].values():
                    if value.shape == where.shape:
                        assert not bool(value[~where].any())
            Watch.seen += len(mask.masks)

    net = nets.build("mlp", ds, widths=(16, 12))
    options = {"keep": kept_of(net, ds)}
    recipe = Recipe(epochs=1, weight_decay=1e-2, callbacks=({"name": "weight-mask", "options": options},))
    run = train.fit(net, ds, recipe, device="cpu", callbacks=[Watch()])
    assert Watch.seen > 0
    assert int((run.net.classifier[0].weight.abs().sum(1) > 0).sum()) == 8  # type: ignore[union-attr, operator]


def test_bad_masks(ds: Dataset) -> None:
    net = nets.build("mlp", ds, widths=(16,))
    with pytest.raises(InputError, match="give keep"):
        WeightMask({})
    with pytest.raises(InputError, match=r"classifier\.9"):
        train.fit(net, ds, Recipe(epochs=1), device="cpu", callbacks=[WeightMask({"classifier.9": [0]})])


class Shuffled(nn.Module):
    """Units in another order between two layers, which the graph alone does not see."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 6, 3), nn.Linear(6, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.a(x).relu()
        x = x.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)
        return self.head(self.b(x).relu().mean((2, 3)))


def test_units_that_cannot_be_followed_are_refused(ds: Dataset) -> None:
    with pytest.raises(InputError, match="'a' cannot be cut: .*another result"):
        train.fit(Shuffled(), ds, Recipe(epochs=1), device="cpu", callbacks=[WeightMask({"a": [0, 5]})])
    train.fit(Shuffled(), ds, Recipe(epochs=1), device="cpu", callbacks=[WeightMask({"b": [0, 5]})])


@pytest.mark.parametrize("norm", [nn.LayerNorm(8), nn.RMSNorm(8), nn.GroupNorm(2, 8)])
def test_norms_that_would_count_masked_units_are_refused(ds: Dataset, norm: nn.Module) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), norm, nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 10))
    with pytest.raises(InputError, match=f"'2' is a {type(norm).__name__}, .*cut the network instead"):
        train.fit(net, ds, Recipe(epochs=1), device="cpu", callbacks=[WeightMask({"1": [0, 1, 6, 7]})])
    train.fit(net, ds, Recipe(epochs=1), device="cpu", callbacks=[WeightMask({"4": [0, 5]})])
