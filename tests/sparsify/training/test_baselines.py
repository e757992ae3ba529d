"""L1, dropout and lottery tickets: what they leave, and that they say so."""

from __future__ import annotations

import dataclasses
import itertools
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from torch import nn

from clusterers import clusterer
from nervure import nets, sparsify, store, train
from nervure.data import Dataset, from_arrays
from nervure.errors import InputError
from nervure.sparsify import Mask
from nervure.sparsify.criteria import names
from nervure.sparsify.masked import bake, masks_of
from nervure.sparsify.training.dropout import ActivationDropout
from nervure.sparsify.training.lottery import lottery, share_after, ticket
from nervure.train import Callback, Loop, Recipe


@pytest.fixture
def net(ds: Dataset) -> nn.Module:
    return nets.build("mlp", ds, widths=(16,), seed=0)


CPU = {"device": "cpu"}


class TestL1:
    def test_the_penalty_is_that_of_the_loss(self, net: nn.Module, ds: Dataset) -> None:
        recipe = Recipe(epochs=1, batch=1000, optimizer="sgd", lr=0.1, momentum=0.0, keep="last")
        run = sparsify.train_with(
            net, ds, "l1", None, recipe, settings={"strength": 0.01, "threshold": 0.0}, fit_options=CPU
        )

        def penalised(one: nn.Module, batch: Any) -> Any:
            loss = nn.functional.cross_entropy(one(batch.x), batch.y)
            return loss + 0.01 * sum(one.get_parameter(f"classifier.{at}.weight").abs().sum() for at in (0, 2)), {}

        wanted = train.fit(net, ds, recipe, device="cpu", objective=penalised).net
        for name, value in run.net.state_dict().items():
            assert torch.allclose(value, wanted.state_dict()[name], atol=1e-6)

    def test_half_precision_does_not_weaken_it(
        self, net: nn.Module, ds: Dataset, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """There losses are scaled before the backward pass, and gradients come back to size before the penalty."""

        def half(device: str, precision: str) -> Fabric:
            plugin = MixedPrecision("16-mixed", device, torch.amp.GradScaler(device))
            fabric = Fabric(accelerator=device, devices=1, plugins=[plugin])
            fabric.launch()
            return fabric

        def magnitudes(strength: float) -> float:
            spec = {"name": "l1-penalty", "options": {"strength": strength}}
            recipe = Recipe(epochs=3, batch=32, optimizer="sgd", lr=0.05, keep="last", callbacks=(spec,))
            one = train.fit(net, ds, recipe, device="cpu").net
            return sum(float(weight.detach().abs().sum()) for weight in one.parameters() if weight.ndim > 1)

        without, whole = magnitudes(0.0), magnitudes(5e-3)
        monkeypatch.setattr(sys.modules["nervure.train.fit"], "open_fabric", half)
        assert magnitudes(5e-3) == pytest.approx(whole, rel=0.02)
        assert whole < 0.9 * without

    def test_it_says_what_it_reached(self, net: nn.Module, ds: Dataset) -> None:
        settings = {"strength": 2e-3, "threshold": 0.01}
        run = sparsify.train_with(
            net, ds, "l1", None, Recipe(epochs=6, batch=32, lr=0.005), settings=settings, fit_options=CPU
        )
        weight = run.net.classifier[0].weight.detach()
        assert not ((weight.abs() > 0) & (weight.abs() < 0.01)).any()
        reached = Mask.of(run.net).sparsity
        assert 0.05 < reached < 0.9
        assert run.evidence["edges"].rows[-1][3] is None
        assert run.evidence["edges"].rows[-1][4] == pytest.approx(reached)

    def test_a_weight_at_the_threshold_stays(self, net: nn.Module, ds: Dataset) -> None:
        size = net.classifier[2].weight.detach().abs()
        settings = {"strength": 0.0, "threshold": float(size.median())}  # the 80th of 160
        still = Recipe(epochs=1, optimizer="sgd", lr=1e-30)
        run = sparsify.train_with(net, ds, "l1", None, still, settings=settings, fit_options=CPU)
        assert int((run.net.classifier[2].weight == 0).sum()) == 79

    def test_a_layer_that_it_emptied_is_named(self, net: nn.Module, ds: Dataset) -> None:
        with pytest.raises(InputError, match=r"every edge of layer 'classifier.0' fell under 100"):
            sparsify.train_with(net, ds, "l1", None, Recipe(epochs=1), settings={"threshold": 100.0}, fit_options=CPU)


class TestDropout:
    def test_it_acts_between_layers_while_training_alone(self, net: nn.Module, ds: Dataset) -> None:
        shares: dict[str, list[float]] = {"classifier.0": [], "classifier.2": []}

        class Note(Callback):
            def start(self, loop: Loop) -> None:
                for name in shares:
                    module = loop.net.get_submodule(name)
                    module.register_forward_hook(
                        lambda module, args, out, name=name: (
                            shares[name].append(float((args[0] == 0).float().mean())) if module.training else None
                        )
                    )

        plain = train.fit(net, ds, Recipe(epochs=1), device="cpu", callbacks=[Note()])
        without = {name: sum(seen) / len(seen) for name, seen in shares.items()}
        shares = {name: [] for name in shares}
        spec = {"name": "activation-dropout", "options": {"share": 0.8}}
        run = train.fit(net, ds, Recipe(epochs=1, callbacks=(spec,)), device="cpu", callbacks=[Note()])
        dropped = {name: sum(seen) / len(seen) for name, seen in shares.items()}
        assert dropped["classifier.0"] == pytest.approx(without["classifier.0"])
        assert dropped["classifier.2"] > 0.75 > without["classifier.2"]
        assert not run.net.classifier[2]._forward_pre_hooks
        assert run.history[0]["train_loss"] > plain.history[0]["train_loss"]

    def test_an_input_that_was_pooled_is_still_the_input(self) -> None:
        drop, net = (
            ActivationDropout(0.9),
            nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16, 8), nn.Linear(8, 2)),
        )
        seen: dict[int, float] = {}
        drop.start(SimpleNamespace(net=net))  # type: ignore[arg-type]
        for at in (2, 3):
            net[at].register_forward_hook(
                lambda module, args, out, at=at: seen.update({at: float((args[0] == 0).float().mean())})
            )
        for _ in range(2):  # each pass begins anew
            net(torch.ones(64, 1, 8, 8))
            assert seen[2] == 0
            assert seen[3] > 0.7

    def test_edges_that_cannot_be_counted_are_refused_before_training(
        self, ds: Dataset, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))
        nn.utils.parametrizations.weight_norm(net[1])
        monkeypatch.setattr(Loop, "_one_step", lambda *_: pytest.fail("trained"))
        with pytest.raises(InputError, match=r"activation-dropout: layer '1' computes its weight .* remove that first"):
            sparsify.train_with(net, ds, "dropout", 0.5, Recipe(epochs=1), fit_options=CPU)
        bare = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.AdaptiveAvgPool1d(10))
        with pytest.raises(InputError, match="no linear layer"):
            sparsify.train_with(bare, ds, "dropout", 0.5, Recipe(epochs=1), fit_options=CPU)

    def test_its_sparsity_is_nominal(self, net: nn.Module, ds: Dataset) -> None:
        run = sparsify.train_with(net, ds, "dropout", 0.3, Recipe(epochs=1), fit_options=CPU)
        assert (run.history[0]["sparsity"], run.history[0]["nominal"]) == (0.0, 0.3)
        assert Mask.of(run.net).sparsity == 0
        with pytest.raises(InputError, match="share = 1"):
            sparsify.train_with(net, ds, "dropout", 1, Recipe(epochs=1), fit_options=CPU)


class TestLottery:
    def test_each_round_keeps_the_same_part(self) -> None:
        kept = [1 - share_after(0.9, done, 3) for done in range(4)]
        assert [b / a for a, b in itertools.pairwise(kept)] == pytest.approx([0.1 ** (1 / 3)] * 3)

    def test_a_ticket_begins_from_the_first_weights(self, net: nn.Module, ds: Dataset) -> None:
        trained = train.fit(net, ds, Recipe(epochs=2), device="cpu").net
        found = ticket(net, trained, {"classifier.0": 0.5, "classifier.2": 0.5})
        for name, mask in masks_of(found).items():
            assert torch.equal(found.get_submodule(name).weight[mask], net.get_submodule(name).weight[mask])
            size = trained.get_submodule(name).weight.detach().abs()
            assert size[mask].min() >= size[~mask].max() * (1 - 1e-4)
        later = ticket(net, train.fit(found, ds, Recipe(epochs=1), device="cpu").net, {"classifier.0": 0.75})
        assert not (masks_of(later)["classifier.0"] & ~masks_of(found)["classifier.0"]).any()

    def test_the_run_is_masked_resumable_and_exact(self, net: nn.Module, ds: Dataset, tmp_path: Path) -> None:
        recipe = Recipe(epochs=1)
        whole = lottery(net, ds, 0.8, recipe, rounds=2, device="cpu")
        assert [row["cycle"] for row in whole.history] == [0, 1, 2]
        assert [row.kept for row in Mask.of(whole.net).rows] == [1024 - round(0.8 * 1024), 160 - round(0.8 * 160)]

        def stop_at_last(where: Any) -> None:
            if (tmp_path / "run.cycles" / "1" / "run.json").is_file():
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            lottery(net, ds, 0.8, recipe, rounds=2, device="cpu", out=tmp_path / "run", progress=stop_at_last)
        again = lottery(net, ds, 0.8, recipe, rounds=2, device="cpu", out=tmp_path / "run", resume=True)
        saved = store.load(tmp_path / "run").net
        for name, value in whole.net.state_dict().items():
            assert torch.equal(value, again.net.state_dict()[name])
            assert torch.equal(value, saved.state_dict()[name])
        assert bake(saved).classifier[0].weight.count_nonzero() == 1024 - round(0.8 * 1024)

    def test_it_can_rank_globally(self, net: nn.Module, ds: Dataset) -> None:
        run = lottery(net, ds, 0.6, Recipe(epochs=1), rounds=1, ranking="global", device="cpu")
        mask = Mask.of(run.net)
        assert mask.kept == mask.edges - round(0.6 * mask.edges)
        assert mask.rows[0].sparsity != pytest.approx(0.6, abs=1e-3)

    def test_wrong_numbers_are_named(self, net: nn.Module, ds: Dataset) -> None:
        with pytest.raises(InputError, match="rounds = 0"):
            lottery(net, ds, 0.5, rounds=0)
        with pytest.raises(InputError, match="would lose all"):
            ticket(net, net, {"classifier.0": 1.0})


@pytest.mark.parametrize("name", names())
def test_all_rivals_go_through_one_door(name: str, net: nn.Module, ds: Dataset) -> None:
    settings = {"rounds": 1} if name == "lottery" else {}
    recipe = Recipe(epochs=3, batch=32, lr=0.01)
    run = sparsify.train_with(net, ds, name, 0.5, recipe, settings=settings, fit_options=CPU)
    reached = Mask.of(run.net).sparsity
    assert reached == 0.5 if name not in ("l1", "dropout") else 0 <= reached < 0.5
    assert run.metrics["accuracy"] > 0.5


@pytest.mark.parametrize("name", ["magnitude", "lottery"])
def test_a_clusterer_is_not_trained_as_if_its_clusters_were_classes(name: str) -> None:
    net = clusterer("centres")
    ds = from_arrays(np.random.default_rng(0).random((60, 4), np.float32), np.arange(60) % 3)
    for given in (ds, dataclasses.replace(ds, y=None, task="none", names=())):
        with pytest.raises(InputError, match=r"clusters, which are no classes of the data; .*by_its_clusters\(run, ds"):
            sparsify.train_with(net, given, name, 0.5, Recipe(epochs=2), fit_options=CPU)
    own = dataclasses.replace(ds, names=net.names)
    assert sparsify.train_with(net, own, name, 0.5, Recipe(epochs=2), fit_options=CPU).metrics["accuracy"] >= 0


def test_options_of_another_method_are_named(net: nn.Module, ds: Dataset) -> None:
    with pytest.raises(InputError, match="training with 'l1' takes no option 'warm_up'; it takes layers, exclude"):
        sparsify.train_with(net, ds, "l1", warm_up=2)
    with pytest.raises(InputError, match="unknown edge criterion 'lotery'; did you mean 'lottery'"):
        sparsify.train_with(net, ds, "lotery")
    with pytest.raises(InputError, match="dropout takes one share"):
        sparsify.train_with(net, ds, "dropout", {"a": 0.5})
