"""The studies of pruning: each reads, what was printed is in them, and a trial of every kind runs at its smallest."""

from __future__ import annotations

import re

import pytest
import torch

from nervure.nets.table import get as networks_of
from nervure.study import table
from nervure.study.ablation_trial import AblationSettings
from nervure.study.clusters_trial import ClustersSettings
from nervure.study.iterative_trial import IterativeSettings
from nervure.study.layerwise_trial import LayerwiseSettings
from nervure.study.prune_trial import CriteriaSettings
from nervure.study.settings import TrainSettings, TrialSettings
from nervure.study.steps_trial import StepsSettings
from nervure.study.structure_trial import StructureSettings
from nervure.study.table import Study
from nervure.study.trials import Job, Measured, trials
from nervure.train import Recipe

READERS: dict[str, type[TrialSettings]] = {
    one.trial: one
    for one in (
        AblationSettings, ClustersSettings, CriteriaSettings, IterativeSettings, LayerwiseSettings, StepsSettings,
        StructureSettings,
    )
}  # fmt: skip
PRUNED = tuple(name for name in table.names() if table.load(name).trial in READERS)

# Digits are too small for VGG; these are drawn, and as large as it needs.
SHAPES = ("synthetic-shapes", {"n": 200, "size": 16, "channels": 3})
DIGITS: tuple[str, dict[str, object]] = ("digits", {})


def small(name: str, arm: str, data: tuple[str, dict[str, object]], **changes: object) -> Measured:
    """One trial of the smallest profile, on data that needs no file."""
    study = table.load(name)
    settings = {**study.trial_settings(arm, "smoke"), **changes}
    return trials.get(study.trial)(Job(data[0], data[1], settings, device="cpu"))


def named(study: Study, measured: Measured) -> set[str]:
    return {one for one in study.measures if one in measured.metrics}


@pytest.mark.parametrize("name", PRUNED)
def test_settings_of_every_arm_and_profile_are_read(name: str) -> None:
    study = table.load(name)
    networks = set()
    for arm in study.arms:
        for profile in study.profiles:
            settings = READERS[study.trial].read(study.trial_settings(arm, profile)).model_dump()
            if settings.get("base") is not None:
                base = TrainSettings.read(settings["base"])
                assert Recipe(**base.recipe).epochs >= 1  # type: ignore[arg-type]
                networks.add(base.model_copy(update={"recipe": {}, "train_samples": None}).model_dump_json())
            for recipe in (settings.get("recipe"), settings.get("final"), settings.get("tune")):
                if recipe and study.trial != "prune-iterative":
                    assert Recipe(**recipe).epochs >= 1
    with torch.device("meta"):
        for one in networks:
            base = TrainSettings.model_validate_json(one)
            networks_of(base.net)(in_shape=(3, 32, 32), classes=10, **base.net_options)


def test_every_published_table_has_its_study() -> None:
    """Spec majority-voting-pruning: Tables 2.1, 5.2 to 5.5, 6.1 to 6.9; spec ssim-kmeans-pruning: Tables 1 to 6."""
    places = " ".join(one.place for name in PRUNED for one in table.load(name).figures)
    tables = ("2.1", "5.2", "5.3", "5.4", "5.5", *(f"6.{number}" for number in range(1, 10)))
    assert [one for one in tables if f"Table {one}" not in places] == []
    assert [one for one in (*range(1, 7),) if f"Al Dallal, Table {one}" not in places] == []


def test_every_drawn_figure_has_its_study() -> None:
    """Spec majority-voting-pruning, 16: Figures 5.4, 6.5 to 6.10 and 6.13; the others are of one run."""
    said = " ".join(f"{one.what} {one.unpublished}" for one in map(table.load, PRUNED))
    spans = re.findall(r"Figures? (\d)\.(\d+)(?: (?:to|and) \d\.(\d+))?", said)
    found = {
        f"{chapter}.{number}" for chapter, first, last in spans for number in range(int(first), int(last or first) + 1)
    }
    assert {"5.4", *(f"6.{number}" for number in range(5, 11)), "6.13"} <= found


@pytest.mark.parametrize(
    ("name", "arm", "measure", "value"),
    [
        ("prune-neurons-cifar10", "base", "majority-vote cumulative", 68.28),
        ("prune-neurons-mnist", "base", "random layer 1", 95.4),
        ("prune-iterative-cifar10", "dense-votes", "weights", 4_245_000),
        ("prune-iterative-mnist", "set", "accuracy", 98.74),
        ("prune-vgg16-cifar10", "C", "error", 7.0),
        ("prune-resnet-cifar10", "resnet32-pruned-30", "flops", 4.15e7),
        ("prune-criteria-vgg16-cifar10", "base", "lrp layer 3", 88.0),
        ("prune-criteria-vgg16-cifar10", "base", "random seconds", 7.3e-5),
        ("prune-criteria-small-cnn-cifar10", "base", "sum-iou layer 3", 67.09),
        ("prune-recovery-vgg16-cifar10", "kernel-estimation-500", "after layer 13", 81.38),
        ("prune-recovery-vgg16-cifar10", "fine-tune-500", "after layer 13", 67.23),
        ("prune-recovery-vgg16-cifar10", "fine-tune-1000", "seconds", 23.34),
        ("prune-ssim-a", "ssim-kmeans", "accuracy", 91.5),
        ("prune-ssim-c", "hrank", "accuracy", 90.526),
        ("prune-ssim-silhouettes", "thesis", "K 12", 218),
    ],
)
def test_figures_are_those_printed(name: str, arm: str, measure: str, value: float) -> None:
    found = [one.value for one in table.load(name).figures if (one.arm, one.measure) == (arm, measure)]
    assert value in found


def test_counts_of_the_ssim_thesis_are_met_to_the_integer() -> None:
    study = table.load("prune-ssim-counts")
    wrong = []
    for arm in study.arms:
        found = trials.get(study.trial)(Job("digits", settings=study.trial_settings(arm, "cpu"))).metrics
        printed = [one for one in study.figures if one.arm == arm]
        assert len(printed) == 27
        wrong += [(arm, one.measure) for one in printed if found[one.measure] != one.value]
    assert wrong == []


@pytest.mark.parametrize(
    ("arm", "macs"), [("pruned-70", 154_651_392), ("A", 161_385_004), ("B", 89_199_616), ("C", 180_556_800)]
)
def test_widths_of_vgg_cost_what_they_must(arm: str, macs: int) -> None:
    settings = table.load("prune-vgg16-widths").trial_settings(arm, "cpu")
    assert trials.get("prune-structure")(Job("digits", settings=settings)).metrics["macs"] == macs


# Counting ResNet-50 takes two to five seconds an arm.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("arm", "flops", "millions"),
    [
        ("resnet50-pruned-70", 4_880_052_680, 16.945),
        ("resnet50-pruned-50", 3_412_852_736, 12.382),
        ("resnet50-pruned-30", 2_194_985_078, 8.665),
    ],
)
def test_resnet50_costs_what_it_must(arm: str, flops: int, millions: float) -> None:
    """Spec majority-voting-pruning, 11 (4): the structural check of Table 6.5."""
    settings = table.load("prune-resnet50-imagenet").trial_settings(arm, "cpu")
    found = trials.get("prune-structure")(Job("digits", settings=settings)).metrics
    assert (found["flops"], round(found["parameters"] / 1e6, 3)) == (flops, millions)


# Each of these trains a network and goes the whole way; together they take half a minute.
@pytest.mark.slow
class TestSmallest:
    def test_neurons(self) -> None:
        found = small("prune-neurons-mnist", "base", DIGITS)
        assert named(table.load("prune-neurons-mnist"), found) == set(table.load("prune-neurons-mnist").measures)

    @pytest.mark.parametrize("name", ["prune-shares-neurons-mnist", "prune-shares-small-cnn-cifar10"])
    def test_kept_shares(self, name: str) -> None:
        study = table.load(name)
        given = tuple(study.settings["keep"])  # type: ignore[arg-type, var-annotated]
        found = small(name, "base", DIGITS, keep=given[:2])
        assert named(study, found) == {
            one for one in study.measures if one == "intact" or float(one.split()[-1]) in given[:2]
        }
        assert [one.name for one in study.sweeps][-1] == "cumulative keep"
        assert {len(one.numbers) for one in study.sweeps} == {len(given)}

    @pytest.mark.parametrize("name", ["prune-layers-small-cnn-cifar10", "prune-levels-small-cnn-cifar10"])
    def test_a_line_a_layer(self, name: str) -> None:
        study = table.load(name)
        found = small(name, "base", DIGITS)
        shares = study.trial_settings("base", "smoke")["keep"]
        assert named(study, found) == {
            one
            for one in study.measures
            if " keep " not in one or float(one.split()[-1]) in shares  # type: ignore[operator]
        }
        assert {one.columns for one in study.sweeps} == {tuple(f"layer {at}" for at in range(2, 7))}

    def test_a_panel_for_each_residual_network(self) -> None:
        study = table.load("prune-layers-resnet-cifar10")
        assert [one.name for one in study.sweeps][:3] == [
            "resnet20 votes keep", "resnet32 votes keep", "resnet20 votes estimated keep",
        ]  # fmt: skip
        found = small(study.name, "resnet20", DIGITS)
        assert {f"votes estimated layer {at} keep {share}" for at in (1, 2) for share in (0.7, 0.3)} <= set(
            found.metrics
        )

    def test_criteria_by_layer(self) -> None:
        study = table.load("prune-criteria-small-cnn-cifar10")
        assert named(study, small(study.name, "base", DIGITS)) == set(study.measures)

    def test_criteria_side_by_side(self) -> None:
        study = table.load("prune-compare-fashion-mnist")
        assert named(study, small(study.name, "base", DIGITS)) == set(study.measures)

    @pytest.mark.parametrize("arm", ["kernel-estimation-200", "fine-tune-200", "none"])
    def test_recovery(self, arm: str) -> None:
        found = small("prune-recovery-vgg16-cifar10", arm, SHAPES)
        assert {"before layer 2", "after layer 3", "accuracy", "seconds"} <= set(found.metrics)
        assert "before layer 4" not in found.metrics

    @pytest.mark.parametrize("arm", ["A", "A from scratch"])
    def test_layer_by_layer_and_tuned(self, arm: str) -> None:
        study = table.load("prune-vgg16-cifar10")
        found = small(study.name, arm, SHAPES)
        assert named(study, found) == set(study.measures)
        assert found.metrics["macs_share"] < 0.6

    def test_residual(self) -> None:
        found = small("prune-resnet-cifar10", "resnet20-pruned-50", DIGITS)
        assert 0.4 < found.metrics["macs_share"] < 0.6

    @pytest.mark.parametrize("arm", ["dense", "dense-votes", "set", "set-votes"])
    def test_iterative(self, arm: str) -> None:
        found = small("prune-iterative-mnist", arm, DIGITS)
        assert (found.metrics["weights_share"] == 1) == (arm == "dense")
        assert (found.metrics["events"] > 0) == arm.endswith("votes")
        scores = [value for name, value in found.metrics.items() if name.startswith("validation accuracy by cycle ")]
        sizes = [value for name, value in found.metrics.items() if name.startswith("weights by cycle ")]
        assert max(scores) == found.metrics["best_validation"]
        assert len(scores) == len(sizes) == found.metrics["epochs"]
        assert (sizes[0] > sizes[-1]) == arm.endswith("votes")

    @pytest.mark.parametrize("arm", ["ssim-kmeans", "hrank"])
    def test_layerwise(self, arm: str) -> None:
        found = small("prune-ssim-a", arm, SHAPES, samples=20, keep=[24, 29, 53], whole=[64, 64, 128], count=3)
        assert found.metrics["macs_share"] < 0.8

    def test_clusters(self) -> None:
        found = small("prune-ssim-silhouettes", "thesis", SHAPES)
        assert all(2 <= found.metrics[f"K {number}"] < 16 for number in (1, 2, 3, 4))
