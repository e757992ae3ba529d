from __future__ import annotations

import pytest

from nervure import prune
from nervure.errors import InputError
from nervure.study.asked import accuracy
from nervure.study.base import base_of
from nervure.study.steps_trial import steps_trial
from nervure.study.trials import Job

BASE = {"net": "mlp", "net_options": {"widths": [32, 24]}, "recipe": {"epochs": 4, "lr": 5e-3}}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


def job(cache: str, **settings: object) -> Job:
    common = {"base": BASE, "kind": "dense", "criterion": "l1", "keep": 0.25}
    return Job("digits", settings={**common, **settings}, device="cpu", cache=cache)


def test_without_recovery_it_is_cutting_all_at_once(cache: str) -> None:
    given = job(cache, recover="none", judged="original")
    found = steps_trial(given).metrics
    run, ds = base_of(given, None, BASE)
    plan = prune.plan(run.net, ds, "l1", prune.Target(keep=0.25))
    assert found["accuracy"] == pytest.approx(accuracy(plan.apply(run.net), ds, device="cpu"))
    assert found["after layer 2"] == found["before layer 2"] == found["accuracy"]
    assert (found["parameters"], found["macs"], found["flops"]) == (
        plan.params_after, plan.macs_after, 2 * plan.macs_after,
    )  # fmt: skip
    assert found["error_base"] == pytest.approx(1 - found["accuracy_base"])


def test_estimation_helps_and_the_layers_after_the_cut_are_still_known(cache: str) -> None:
    whole = steps_trial(job(cache, recover="none")).metrics
    found = steps_trial(job(cache, recover="kernel-estimation", recover_samples=300)).metrics
    assert found["before layer 1"] == whole["before layer 1"]
    assert found["accuracy"] > whole["accuracy"] + 0.02
    assert found["parameters"] == whole["parameters"]


def test_tuning_takes_the_steps_asked_for_and_reads_only_its_samples(
    cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nervure.study import steps_trial as module

    seen = []
    own = module.fit

    def spy(net, ds, recipe, **options):  # type: ignore[no-untyped-def]
        seen.append((recipe.epochs, recipe.batch, {name: len(at) for name, at in ds.splits.items()}))
        return own(net, ds, recipe, **options)

    monkeypatch.setattr(module, "fit", spy)
    steps_trial(job(cache, recover="fine-tune", recover_samples=100, tune_steps=8, count=1))
    assert seen == [(2, 32, {"train": 100, "test": 0})]


def test_scratch_has_the_widths_and_other_weights(cache: str) -> None:
    cut = steps_trial(job(cache, recover="none")).metrics
    found = steps_trial(job(cache, recover="none", scratch=True, final={"epochs": 1})).metrics
    assert (found["parameters"], found["macs"]) == (cut["parameters"], cut["macs"])
    assert found["after layer 2"] == cut["after layer 2"] != found["accuracy"]


def test_faults_are_named(cache: str) -> None:
    with pytest.raises(InputError, match="trial 'prune-steps': recover"):
        steps_trial(job(cache, recover="pray"))
    with pytest.raises(InputError, match="3 widths for 2 layers"):
        steps_trial(job(cache, keep=[1, 2, 3]))
