from __future__ import annotations

import pytest
import torch

from nervure import data, prune
from nervure.errors import InputError
from nervure.study.ablation_trial import ablation_trial
from nervure.study.asked import accuracy
from nervure.study.base import base_of
from nervure.study.trials import Job

BASE = {"net": "mlp", "net_options": {"widths": [24, 16]}, "recipe": {"epochs": 3, "lr": 5e-3}}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


def job(cache: str, **settings: object) -> Job:
    return Job(
        "digits", settings={"base": BASE, "kind": "dense", "samples": 200, **settings}, device="cpu", cache=cache
    )


def test_silenced_is_as_cut_and_the_network_is_restored(cache: str) -> None:
    given = job(cache, criteria={"l1": {}, "mean-activation": {}}, keep=0.3, cumulative=True)
    first = ablation_trial(given).metrics
    run, ds = base_of(given, None, BASE)
    before = {name: value.clone() for name, value in run.net.state_dict().items()}
    for number, layer in ((1, "classifier.0"), (2, "classifier.2")):
        plan = prune.plan(run.net, ds, "l1", prune.Target(keep={layer: 0.3}), samples=200)
        assert first[f"l1 layer {number}"] == pytest.approx(accuracy(plan.apply(run.net), ds, device="cpu"))
    plan = prune.plan(run.net, ds, "l1", prune.Target(keep=0.3), samples=200)
    assert first["l1 cumulative"] == pytest.approx(accuracy(plan.apply(run.net), ds, device="cpu"))
    assert first["intact"] == accuracy(run.net, ds, device="cpu")
    assert all(torch.equal(value, before[name]) for name, value in run.net.state_dict().items())
    assert ablation_trial(given).metrics == first


def test_nothing_silenced_changes_nothing(cache: str) -> None:
    found = ablation_trial(job(cache, criteria={"majority-vote": {}}, keep=1.0, cumulative=True)).metrics
    assert len(set(found.values())) == 1


def test_random_is_the_mean_of_its_draws(cache: str) -> None:
    each = [
        ablation_trial(job(cache, criteria={"random": {"options": {"seed": 1000 * draw}}}, keep=0.2)).metrics
        for draw in range(3)
    ]
    mean = ablation_trial(job(cache, criteria={"random": {"draws": 3}}, keep=0.2)).metrics
    for name in ("random layer 1", "random layer 2"):
        assert len({one[name] for one in each}) > 1
        assert mean[name] == pytest.approx(sum(one[name] for one in each) / 3)


def test_labels_shares_and_times(cache: str) -> None:
    settings = {"criteria": {"mine": {"criterion": "l1"}}, "keep": [0.5, 0.25], "label": "consumer", "timed": True}
    found = ablation_trial(job(cache, **settings)).metrics
    assert set(found) == {"intact", "mine seconds"} | {
        f"mine layer {number} keep {share}" for number in (2, 3) for share in ("0.5", "0.25")
    }


def test_cut_and_recovered(cache: str) -> None:
    asked = {"l1": {}, "mended": {"criterion": "l1", "recover": "kernel-estimation"}}
    given = job(cache, criteria=asked, keep=0.3, cumulative=True, recover_samples=150)
    found = ablation_trial(given).metrics
    run, ds = base_of(given, None, BASE)
    for name, target in (("layer 1", {"classifier.0": 0.3}), ("cumulative", 0.3)):
        plan = prune.plan(run.net, ds, "l1", prune.Target(keep=target), samples=200)
        mended = prune.recover(plan.apply(run.net), run.net, ds, method="kernel-estimation", kept=plan, samples=150)
        assert found[f"mended {name}"] == pytest.approx(accuracy(mended, ds, device="cpu"))
        assert found[f"mended {name}"] > found[f"l1 {name}"]


def test_faults_are_named(cache: str) -> None:
    with pytest.raises(InputError, match="trial 'prune-ablation': criteria"):
        ablation_trial(job(cache, criteria={}))
    with pytest.raises(InputError, match=r"trial 'prune-ablation': criteria.l1.recover"):
        ablation_trial(job(cache, criteria={"l1": {"recover": "batch-norms"}}))
    with pytest.raises(InputError, match=r"trial 'prune-ablation': kind"):
        ablation_trial(job(cache, criteria={"l1": {}}, kind="convs"))
    assert data.load("digits").task == "classification"
