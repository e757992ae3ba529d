"""Layer after layer: each is cut once, the whole is trained in between, and a stop in the middle changes nothing."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nervure import nets, prune, store, train
from nervure.data import Dataset
from nervure.errors import InputError, InterruptedWork
from nervure.features.masks import Given
from nervure.judge import Criterion
from nervure.prune.criteria.iou_vote import IoUVote
from nervure.prune.training import cut_layer, layerwise
from nervure.train import Recipe

SHORT = Recipe(epochs=1, batch=64, optimizer="sgd", lr=0.02)


@pytest.fixture(scope="module")
def base(ds: Dataset) -> store.Run:
    return train.fit(nets.build("lenet5", ds), ds, Recipe(epochs=6, batch=32, lr=5e-3), device="cpu")


def bytes_of(net: nn.Module) -> list[bytes]:
    return [value.numpy().tobytes() for value in net.state_dict().values()]


def convolutions(net: nn.Module) -> list[str]:
    return [name for name, one in net.named_modules() if isinstance(one, nn.Conv2d)]


class TestLoop:
    def test_each_layer_is_cut_then_the_network_trained(self, base: store.Run, ds: Dataset) -> None:
        before = bytes_of(base.net)
        run = layerwise(base, ds, SHORT, keep=0.5, device="cpu")
        names = [action.name for action in run.lineage]
        layers = [action.settings["layer"] for action in run.lineage if action.name == "prune"]
        assert names == ["train", *["prune", "train"] * 4]
        assert layers == [row.layer for row in prune.plan(base.net, ds, "l1", prune.Target(keep=0.5)).rows[:4]]
        assert run.evidence["widths"].steps == tuple(layers)  # type: ignore[attr-defined]
        halves = (run.evidence["widths"].before // 2).tolist()  # type: ignore[attr-defined]
        assert run.evidence["widths"].after.tolist() == halves  # type: ignore[attr-defined]
        assert run.evidence["layer-wise"].labels == ("pruned", "retrained")  # type: ignore[attr-defined]
        assert run.evidence["layer-wise"].y.shape == (2, 4)  # type: ignore[attr-defined]
        assert [row["cycle"] for row in run.history] == [0, 1, 2, 3]
        found = train.evaluate(run.net, ds, split="validation", device="cpu").metrics["accuracy"]
        assert run.evidence["layer-wise"].y[1, -1] == found  # type: ignore[attr-defined]
        assert bytes_of(base.net) == before

    def test_kept_sets_of_the_original_are_those_of_one_plan(self, base: store.Run, ds: Dataset) -> None:
        """Without training in between the way ends where one cut of the whole plan ends."""
        run = layerwise(base.net, ds, None, keep=0.5, device="cpu")
        plan = prune.plan(base.net, ds, "l1", prune.Target(keep=0.5))
        x = ds.batch(ds.indices("test")).x
        assert torch.allclose(run.net(x), plan.apply(base.net).eval()(x), atol=1e-5)
        assert run.metrics["accuracy"] == pytest.approx(
            train.evaluate(plan.apply(base.net), ds, device="cpu").metrics["accuracy"]
        )

    def test_judged_on_the_current_network(self, base: store.Run, ds: Dataset) -> None:
        """A criterion of activations sees what the cuts before it left."""
        layers = convolutions(base.net)
        keep = dict.fromkeys(layers, 0.5)
        first = prune.plan(base.net, ds, "mean-activation", prune.Target(keep={layers[0]: 0.5}))
        second = prune.plan(first.apply(base.net), ds, "mean-activation", prune.Target(keep={layers[1]: 0.5}))
        expected = second.apply(first.apply(base.net))
        run = layerwise(base.net, ds, None, keep, "mean-activation", judged="current", device="cpu")
        assert bytes_of(run.net) == bytes_of(expected)

    def test_recovery_right_after_each_cut(self, base: store.Run, ds: Dataset) -> None:
        calls: list[tuple[int, int]] = []

        def recover(small: nn.Module, net: nn.Module, data: Dataset, kept: object) -> nn.Module:
            assert net is base.net
            calls.append((sum(p.numel() for p in small.parameters()), len(data)))
            return small

        keep = dict.fromkeys(convolutions(base.net), 0.5)
        final = Recipe(epochs=1, batch=64)
        run = layerwise(base.net, ds, None, keep, recover=recover, final=final, device="cpu")
        assert len(calls) == 2
        assert calls[0][0] > calls[1][0] == sum(p.numel() for p in run.net.parameters())
        assert run.evidence["layer-wise"].labels == ("pruned", "recovered", "retrained")  # type: ignore[attr-defined]
        assert [action.name for action in run.lineage] == ["prune", "prune", "train"]

    def test_kernel_estimation_by_name(self, base: store.Run, ds: Dataset) -> None:
        keep = dict.fromkeys(convolutions(base.net), 0.5)
        run = layerwise(base.net, ds, None, keep, "random", recover="kernel-estimation", device="cpu")
        pruned, recovered = run.evidence["layer-wise"].y[:2]  # type: ignore[attr-defined]
        assert recovered[-1] > pruned[-1]

    def test_recovery_reads_the_samples_of_the_seed(self, ds: Dataset) -> None:
        net = nets.build("mlp", ds, widths=(12, 10))
        options = {"recover": "bias", "recover_options": {"samples": 50}, "device": "cpu"}
        first, again, other = (layerwise(net, ds, None, 0.5, seed=seed, **options) for seed in (0, 0, 1))  # type: ignore[arg-type]
        assert bytes_of(first.net) == bytes_of(again.net) != bytes_of(other.net)

    @pytest.mark.parametrize("recipe", [None, SHORT])
    def test_only_what_reads_the_layer_just_cut_is_estimated(
        self, ds: Dataset, recipe: Recipe | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Algorithm 4, step 6: the layers before it stay as they were repaired, or retrained since."""
        net = nets.build("mlp", ds, widths=(12, 10, 8))
        with caplog.at_level("INFO", "nervure.prune.recover.kernel_estimation"):
            layerwise(net, ds, recipe, 0.5, recover="kernel-estimation", device="cpu")
        estimated = [record.args[0] for record in caplog.records if "kernel_estimation" in record.name]  # type: ignore[index]
        assert estimated == ["classifier.2", "classifier.4", "classifier.6"]

    def test_a_recipe_for_each_layer_and_a_last_one(self, base: store.Run, ds: Dataset) -> None:
        asked: list[int] = []

        def recipe(at: int) -> Recipe:
            asked.append(at)
            return SHORT.model_copy(update={"seed": at})

        keep = dict.fromkeys(convolutions(base.net), 0.5)
        run = layerwise(base.net, ds, recipe, keep, final=Recipe(epochs=2, batch=64), device="cpu")
        assert asked == [0, 1]
        assert [action.name for action in run.lineage] == ["prune", "train", "prune", "train", "train"]
        assert len(run.history) == 4


class TestResume:
    def test_equals_uninterrupted(self, base: store.Run, ds: Dataset, tmp_path: Path) -> None:
        keep = dict.fromkeys(convolutions(base.net), 0.5)
        whole = layerwise(base, ds, SHORT, keep, "majority-vote", out=tmp_path / "whole", device="cpu")
        asked = iter([False] * 8 + [True] * 99)
        with pytest.raises(InterruptedWork):
            layerwise(
                base, ds, SHORT, keep, "majority-vote", out=tmp_path / "cut", device="cpu", stop=lambda: next(asked)
            )
        assert not store.is_run(tmp_path / "cut")
        assert len(list((tmp_path / "cut.cycles").glob("plan-*.json"))) == 1
        run = layerwise(base, ds, SHORT, keep, "majority-vote", out=tmp_path / "cut", resume=True, device="cpu")
        model = "model.safetensors"
        assert (tmp_path / "whole" / model).read_bytes() == (tmp_path / "cut" / model).read_bytes()
        assert run.evidence["layer-wise"].y.tolist() == whole.evidence["layer-wise"].y.tolist()  # type: ignore[attr-defined]
        loaded = store.load(tmp_path / "cut")
        assert "layer-wise" in loaded.evidence
        assert [action.name for action in loaded.lineage] == ["train", "prune", "train", "prune", "train"]

    def test_another_criterion_is_another_plan(self, base: store.Run, ds: Dataset, tmp_path: Path) -> None:
        keep, out = dict.fromkeys(convolutions(base.net), 0.5), tmp_path / "cut"
        layerwise(base, ds, None, keep, "l1", out=out, device="cpu")
        other = layerwise(base, ds, None, keep, "random", out=out, resume=True, device="cpu")
        alone = layerwise(base, ds, None, keep, "random", device="cpu")
        assert all(torch.equal(a, b) for a, b in zip(other.net.parameters(), alone.net.parameters(), strict=True))
        layerwise(base, ds, SHORT, keep, "l1", out=out, overwrite=True, device="cpu")
        with pytest.raises(InputError, match="started from other weights"):
            layerwise(base, ds, SHORT, keep, "random", out=out, resume=True, device="cpu")

    def test_other_data_or_other_masks_are_another_plan(self, base: store.Run, ds: Dataset, tmp_path: Path) -> None:
        def run(data: Dataset, criterion: str | Criterion, **out: Any) -> list[bytes]:
            return bytes_of(layerwise(base.net, data, None, keep, criterion, device="cpu", **out).net)

        keep = dict.fromkeys(convolutions(base.net), 0.5)
        dark = dataclasses.replace(ds, x=ds.x[:] * 0 + np.roll(ds.x[:], 3, axis=-1), fingerprint="another")
        halves = np.zeros((2, len(ds), 8, 8), dtype=bool)
        halves[0, :, :4], halves[1, :, :, 6:] = True, True
        asked = [
            (ds, "mean-activation"), (dark, "mean-activation"), *((ds, IoUVote(masks=Given(half))) for half in halves)
        ]  # fmt: skip
        for data, criterion in asked:
            (tmp_path / "run").exists() and shutil.rmtree(tmp_path / "run")  # the run is lost, its plans are not
            found = run(data, criterion, out=tmp_path / "run", resume=True)
            assert found == run(data, criterion)
        assert len(list((tmp_path / "run.cycles").glob("plan-*.json"))) == 4


class Residual(nn.Module):
    """Two convolutions whose outputs are added, and one inside."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3)
        self.inner = nn.Conv2d(8, 6, 3, padding=1)
        self.outer = nn.Conv2d(6, 8, 3, padding=1)
        self.head = nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x).relu()
        x = x + self.outer(self.inner(x).relu())
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


class TestSharedUnits:
    def test_layers_whose_outputs_are_added_go_together_once(self, ds: Dataset) -> None:
        run = layerwise(Residual(), ds, None, 0.5, device="cpu")
        assert run.evidence["widths"].steps == ("inner",)  # type: ignore[attr-defined]
        wide = layerwise(Residual(), ds, None, 0.5, shortcuts=True, device="cpu")
        assert wide.evidence["widths"].steps == ("stem", "inner")  # type: ignore[attr-defined]
        assert wide.net.outer.out_channels == 4  # type: ignore[union-attr]

    def test_the_same_is_asked_of_both(self, ds: Dataset) -> None:
        with pytest.raises(InputError, match="share their units"):
            layerwise(Residual(), ds, None, {"stem": 0.5, "outer": 0.25}, device="cpu")
        run = layerwise(Residual(), ds, None, {"stem": 0.5, "outer": 0.5}, device="cpu")
        assert run.evidence["widths"].steps == ("stem",)  # type: ignore[attr-defined]


class TestBadInput:
    def test_one_line_each(self, base: store.Run, ds: Dataset) -> None:
        last = [name for name, one in base.net.named_modules() if isinstance(one, nn.Linear)][-1]
        for keep, options, message in [
            ({"nothing": 0.5}, {}, "no layer 'nothing'"),
            ({last: 0.5}, {}, "network's output"),
            ({}, {}, "no layer to prune"),
            (0.5, {"judged": "later"}, "'original' or 'current'"),
            (1.5, {}, "keep"),
        ]:
            with pytest.raises(InputError, match=message) as error:
                layerwise(base.net, ds, None, keep, device="cpu", **options)  # type: ignore[arg-type]
            assert "\n" not in str(error.value)

    def test_cut_layer_refuses_the_output(self, base: store.Run, ds: Dataset) -> None:
        last = [name for name, one in base.net.named_modules() if isinstance(one, nn.Linear)][-1]
        with pytest.raises(InputError, match=last):
            cut_layer(base.net, {last: [0, 1]}, ds.batch([0, 1]).x)
