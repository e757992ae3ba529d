from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch

from nervure import data, nets, prune, train
from nervure.errors import InputError
from nervure.judge import Criterion, Judgement, Layer, Probe
from nervure.prune.criteria import make
from nervure.study.ablation_trial import ablation_trial
from nervure.study.asked import accuracy
from nervure.study.base import base_of
from nervure.study.layerwise_trial import layerwise_trial
from nervure.study.prune_trial import agreement_trial, criteria_trial, prune_trial
from nervure.study.steps_trial import steps_trial
from nervure.study.trials import Job, Measured
from nervure.train import Recipe

BASE = {"net": "mlp", "net_options": {"widths": [32]}, "recipe": {"epochs": 3, "lr": 5e-3}}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


def job(cache: str, **settings: object) -> Job:
    return Job("digits", settings={"base": BASE, "samples": 100, **settings}, device="cpu", cache=cache)


def test_one_criterion_before_and_after_recovery(cache: str) -> None:
    given = job(cache, criterion="l1", target={"keep": 0.25}, tune={"epochs": 1})
    found = prune_trial(given)
    run, ds = base_of(given, None, BASE)
    plan = prune.plan(run.net, ds, "l1", prune.Target(keep=0.25))
    metrics = found.metrics
    assert metrics["accuracy_base"] == accuracy(run.net, ds, device="cpu")
    assert metrics["accuracy_pruned"] == accuracy(plan.apply(run.net), ds, device="cpu")
    assert metrics["accuracy_recovered"] > metrics["accuracy_pruned"]
    assert metrics["error_tuned"] == pytest.approx(1 - metrics["accuracy_tuned"])
    assert metrics["parameters"] == plan.params_after
    assert metrics["speedup"] > 0
    assert list(found.durations) == ["select", "apply", "measure", "recover", "tune"]


def test_criteria_side_by_side_are_what_each_is_alone(cache: str) -> None:
    found = criteria_trial(job(cache, criteria={"l1": {}, "votes": {"criterion": "majority-vote"}})).metrics
    for key, name in (("l1", "l1"), ("votes", "majority-vote")):
        alone = prune_trial(job(cache, criterion=name, latency=False)).metrics
        for measure in ("accuracy_pruned", "accuracy_recovered", "log_loss_recovered", "macs"):
            assert found[f"{measure} {key}"] == alone[measure]


def test_draws_are_averaged(cache: str) -> None:
    found = criteria_trial(job(cache, criteria={"random": {"draws": 2}}, recover=[])).metrics
    each = [
        prune_trial(
            job(cache, criterion="random", criterion_options={"seed": seed}, recover=[], latency=False)
        ).metrics["accuracy_pruned"]
        for seed in (0, 1000)
    ]
    assert found["accuracy_pruned random"] == pytest.approx(sum(each) / 2)


def test_from_scratch_keeps_the_shape_alone(cache: str) -> None:
    settings = {"criterion": "l1", "latency": False, "tune": {"epochs": 1}}
    found = prune_trial(job(cache, **settings, scratch=True)).metrics
    assert "accuracy_recovered" not in found
    assert found["parameters"] == prune_trial(job(cache, **settings)).metrics["parameters"]
    assert found["accuracy_pruned"] < 0.5


def test_agreement_of_a_criterion_that_reads_gradients(cache: str) -> None:
    found = agreement_trial(job(cache, criteria=["l1", "taylor"])).metrics
    assert -1 <= found["tau l1 taylor"] <= 1


def test_agreement_is_a_correlation(cache: str) -> None:
    found = agreement_trial(job(cache, criteria=["l1", "l2", "random"])).metrics
    assert found["tau l1 l1"] == pytest.approx(1)
    assert found["tau l1 l2"] == found["tau l2 l1"] > 0.5 > abs(found["tau l1 random"])


def test_a_criterion_that_calls_all_alike_agrees_with_none(cache: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Alike(Criterion):
        def judge(
            self, layer: Layer, weights: Mapping[str, torch.Tensor], results: Mapping[str, object],
            probe: Probe | None = None,
        ) -> Judgement:  # fmt: skip
            return Judgement(torch.ones(layer.units))

    given = {"alike": Alike(), "l1": make("l1", 0)}
    monkeypatch.setattr("nervure.study.prune_trial.make", lambda name, seed: given[name])
    found = agreement_trial(job(cache, criteria=list(given))).metrics
    assert found == {"tau alike alike": 1, "tau alike l1": 0, "tau l1 alike": 0, "tau l1 l1": 1}


def test_base_is_a_run_or_trained_once(cache: str, tmp_path: Path) -> None:
    given = job(cache)
    first, _ = base_of(given, None, BASE)
    stamp = {one: one.stat().st_mtime_ns for one in Path(cache).rglob("model.safetensors")}
    base_of(given, None, BASE)
    assert {one: one.stat().st_mtime_ns for one in Path(cache).rglob("model.safetensors")} == stamp
    ds = data.load("digits")
    train.fit(nets.build("mlp", ds, widths=[8]), ds, Recipe(epochs=1), out=tmp_path / "own", device="cpu")
    held, _ = base_of(Job("digits", device="cpu"), str(tmp_path / "own"), None)
    assert sum(one.numel() for one in held.net.parameters()) < sum(one.numel() for one in first.net.parameters())
    with pytest.raises(InputError, match="from a run, or from the settings to train one: give one of them"):
        base_of(given, None, None)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"critereon": "l1"}, "trial 'prune': critereon: Extra inputs"),
        ({"criterion": "l3"}, "l3"),
        ({"target": {"keep": 0}}, "keep"),
        ({"samples": 0}, "trial 'prune': samples"),
    ],
)
def test_faults_are_named(cache: str, settings: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        prune_trial(job(cache, **settings))


@pytest.mark.parametrize(
    ("trial", "settings", "times"),
    [
        (prune_trial, {"latency": False}, 2),
        (agreement_trial, {"criteria": ("l1", "random")}, 1),
        (steps_trial, {"kind": "dense", "criterion": "l1"}, 2),
        (ablation_trial, {"kind": "dense", "criteria": {"l1": {"recover": "kernel-estimation"}}}, 2),
        (layerwise_trial, {"kind": "dense", "criterion": "l1", "recipe": {"epochs": 1}}, 1),
    ],
)
def test_units_are_judged_and_networks_repaired_on_the_device_of_the_trial(
    cache: str, monkeypatch: pytest.MonkeyPatch, trial: Callable[[Job], Measured], settings: dict[str, object],
    times: int,
) -> None:  # fmt: skip
    asked: list[str] = []

    def pick(device: str) -> torch.device:
        asked.append(device)
        return torch.device("cpu")

    for room in ("prune.planner", "prune.recover", "study.prune_trial", "study.ablation_trial"):
        monkeypatch.setattr(importlib.import_module(f"nervure.{room}"), "pick_device", pick)
    trial(job(cache, **settings))
    assert asked == ["cpu"] * times
