from __future__ import annotations

import importlib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nervure import cluster, data, nets, prune, train
from nervure.data import from_arrays
from nervure.data.dataset import Dataset
from nervure.errors import InputError
from nervure.judge import Criterion, Judgement, Layer
from nervure.nets.structure.cut import cut
from nervure.nets.structure.groups import Group
from nervure.observe import Moments
from nervure.prune import trials
from nervure.prune.target import Target

Zoo = Callable[[str], tuple[nn.Module, tuple[int, ...]]]


class Given(Criterion):
    """Scores by layer, given beforehand; the unit's number for other layers."""

    def __init__(self, scores: Mapping[str, list[float]] | None = None) -> None:
        self._scores = scores or {}

    def judge(self, layer: Layer, weights: object, results: object, probe: object = None) -> Judgement:
        return Judgement(torch.tensor(self._scores.get(layer.name, [float(one) for one in range(layer.units)])))


class Seen(Criterion):
    """Mean of what the consumer reads."""

    def wants(self, layer: Layer) -> Mapping[str, object]:  # type: ignore[override]
        return {"mean": (layer.seen, Moments())}

    def judge(self, layer: Layer, weights: object, results: Mapping[str, object], probe: object = None) -> Judgement:
        mean = results["mean"].mean  # type: ignore[attr-defined]
        return Judgement(mean.view(layer.units, layer.spread).mean(1))


class Labelled(Given):
    needs_labels = True


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return data.load("digits")


@pytest.fixture
def net() -> nn.Module:
    return nets.build("mlp", in_shape=(64,), classes=10, widths=[32, 16])


def test_the_best_stay(net: nn.Module) -> None:
    scores = {"classifier.0": [float(one % 5) for one in range(32)], "classifier.2": [1.0] * 15 + [2.0]}
    plan = prune.plan(net, None, Given(scores), Target(keep=0.25))
    assert plan.kept["classifier.0"] == (3, 4, 8, 9, 14, 19, 24, 29)
    assert plan.kept["classifier.2"] == (0, 1, 2, 15)
    row = next(one for one in plan.rows if one.layer == "classifier.0")
    assert (row.scores.kept, row.scores.cut, row.scores.high) == (3.0, 3.0, 4.0)  # type: ignore[union-attr]
    assert row.why == "25% best by Given"
    small = plan.apply(net)
    assert torch.equal(small.classifier[0].weight, net.classifier[0].weight[list(plan.kept["classifier.0"])])


@pytest.mark.parametrize("goal", ["macs", "params"])
@pytest.mark.parametrize("ranking", ["layer", "global"])
@pytest.mark.parametrize("name", ["residual", "grouped", "inception", "lstm", "attention", "gated", "join plus sum"])
def test_a_budget_is_met_and_no_step_is_left(zoo: Zoo, norm: Criterion, name: str, ranking: str, goal: str) -> None:
    net, shape = zoo(name)
    share = 0.9 if name == "attention" else 0.6
    plan = prune.plan(net, None, norm, Target(**{goal: share}), ranking=ranking, example=torch.randn(3, *shape))  # type: ignore[arg-type]
    cost = nets.count(plan.apply(net), shape)
    assert (cost.params, cost.macs) == (plan.params_after, plan.macs_after)
    before, after = (plan.macs_before, plan.macs_after) if goal == "macs" else (plan.params_before, plan.params_after)
    assert after <= share * before
    graph = plan._graph
    assert graph is not None
    kept = {group.name: _count(plan, group.name) for group in graph.free}
    smaller = [group for group in graph.free if kept[group.name] < group.units]
    assert smaller
    for group in smaller:
        grown = {**kept, group.name: kept[group.name] + group.step}
        firsts = {one: _first(graph.group(one), count) for one, count in grown.items()}
        larger = nets.count(cut(net, graph.groups, firsts), shape)
        assert (larger.macs if goal == "macs" else larger.params) > share * before


def _count(plan: prune.Plan, group: str) -> int:
    graph = plan._graph
    assert graph is not None
    one = graph.group(group)
    row = next(row for row in plan.rows if row.group == group and row.layer == one.layers[0])
    return len(row.kept) * one.units // row.places


def _first(group: Group, count: int) -> np.ndarray:
    each = count // group.step
    return np.concatenate([np.flatnonzero(group.block == one)[:each] for one in range(group.step)])


def test_absolute_budgets(net: nn.Module) -> None:
    whole = nets.count(net, (64,))
    plan = prune.plan(net, None, Given(), Target(macs=1000))
    assert plan.macs_after <= 1000 < whole.macs
    assert prune.plan(net, None, Given(), Target(params=whole.params)).params_after == whole.params
    assert not prune.plan(net, None, Given(), Target(macs=1.0)).kept


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ({"macs": 10**9}, "the network has 2,720"),
        ({"macs": 3}, "even with one unit for each layer that may be cut the network has 75"),
        ({"params": 0.0001}, "even with one unit"),
        ({"keep": 1000}, "the widest layer that may be cut has 32 units"),
        ({"keep": {"classifier.0": 33}}, "it has 32 units"),
        ({"keep": {"classifer.0": 3}}, "did you mean 'classifier.0'"),
        ({"keep": {"classifier.4": 3}}, "'classifier.4' cannot be cut: its units are the network's output"),
        ({"keep": "natural"}, "does not say how many"),
        ({"keep": "scenario-b"}, "keep='scenario-b': the criterion does not say how many"),
        ({"keep": "scenario-d"}, "or one of natural, scenario-b, scenario-c"),
        ({"accuracy_drop": 1.0}, "needs labelled classes"),
    ],
)
def test_targets_that_cannot_be_met(net: nn.Module, target: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        prune.plan(net, None, Given(), Target(**target))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ({}, "give exactly one of"),
        ({"keep": 0.5, "macs": 0.5}, "found keep and macs"),
        ({"keep": 1.5}, "keep=1.5"),
        ({"macs": 0}, "macs=0"),
        ({"params": True}, "params=True"),
        ({"latency": 2.0}, "latency=2.0"),
        ({"keep": {}}, "keep names no layer"),
        ({"keep": {"a": 0.0}}, "keep"),
        ({"speed": 2}, "speed"),
    ],
)
def test_bad_targets(target: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Target(**target)  # type: ignore[arg-type]


def test_one_is_a_number_and_one_point_zero_a_share() -> None:
    assert Target(keep=1) != Target(keep=1.0)
    for target in (Target(keep=1), Target(keep=1.0), Target(keep={"a": 1, "b": 1.0}), Target(latency_ms=3.0)):
        back = Target.model_validate_json(target.model_dump_json())
        assert back == target
        assert type(back.goal[1]) is type(target.goal[1])
    assert isinstance(Target.model_validate_json('{"keep": {"a": 1, "b": 1.0}}').keep["b"], float)  # type: ignore[index]


class Halves(nn.Module):
    """One layer whose units are read as two parts, three quarters and a quarter."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.one, self.two = nn.Linear(4, 16), nn.Linear(12, 2), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x).relu()
        return self.one(x[:, : self.one.in_features]) + self.two(x[:, self.one.in_features :])


@pytest.mark.parametrize("keep", [2, 3, 6, 7, 12, 15, 16])
def test_a_number_for_a_layer_is_of_all_its_units(keep: int) -> None:
    net = Halves()
    plan = prune.plan(net, None, Given(), Target(keep={"a": keep}), example=torch.randn(3, 4))
    assert plan.widths["a"] == (16, keep)
    parts = [len(row.kept) for row in plan.rows if row.layer == "a"]
    assert abs(parts[0] - keep * 12 / 16) < 1 and min(parts) > 0
    assert plan.apply(net).a.out_features == keep


def test_layers_that_follow_others_are_in_the_table() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.Flatten(), nn.Linear(8 * 8 * 8, 2))
    *rows, whole = prune.plan(net, None, "l1", Target(keep=0.5), example=torch.randn(1, 3, 12, 12)).table().rows
    assert [row[0] for row in rows] == ["0", "3", "other layers"]
    assert [sum(row[at] for row in rows) for at in (3, 4)] == list(whole[3:5])


class Grouped(nn.Module):
    """One layer whose units are read as two halves, each by two groups."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 16, 3)
        self.one, self.two = nn.Conv2d(8, 4, 1, groups=2), nn.Conv2d(8, 4, 1, groups=2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x).relu()
        side = self.one.in_channels
        return self.one(x[:, :side]) + self.two(x[:, side:])


@pytest.mark.parametrize("keep", [4, 6, 10, 14, 16])
def test_a_number_for_a_layer_is_shared_out_in_its_steps(keep: int) -> None:
    plan = prune.plan(Grouped(), None, Given(), Target(keep={"a": keep}), example=torch.randn(1, 3, 6, 6))
    parts = [len(row.kept) for row in plan.rows if row.layer == "a"]
    assert sum(parts) == keep and all(part % 2 == 0 for part in parts)


def test_a_number_between_two_steps_is_refused() -> None:
    with pytest.raises(InputError, match="target keep of 'a' is 5; its units go 2 at a time"):
        prune.plan(Grouped(), None, Given(), Target(keep={"a": 5}), example=torch.randn(1, 3, 6, 6))


def test_a_number_that_its_parts_cannot_share() -> None:
    for keep, said in ((17, "is 17; it has 16 units"), (1, "is 1; its units lie in 2 parts, of which each keeps one")):
        with pytest.raises(InputError, match=said):
            prune.plan(Halves(), None, Given(), Target(keep={"a": keep}), example=torch.randn(3, 4))


def test_excluded_and_shortcut_groups_stay_whole() -> None:
    net = nets.build("resnet20", in_shape=(3, 16, 16), classes=4, width=0.5)
    plan = prune.plan(net, None, Given(), Target(keep=0.5), shortcuts=False, exclude=["stages.1"])
    cut = {layer for layer, (before, after) in plan.widths.items() if after < before}
    assert cut == {f"stages.{stage}.{block}.conv1" for stage in (0, 2) for block in range(3)}
    why = {row.layer: row.why for row in plan.rows}
    assert "excluded" in why["stages.1.0.conv1"]
    assert "residual stream" in why["stem.0"]
    with pytest.raises(InputError, match="exclude: no layer 'stage' .* did you mean"):
        prune.plan(net, None, Given(), Target(keep=0.5), exclude=["stage"])
    with pytest.raises(InputError, match="no layer whose units could be cut"):
        prune.plan(net, None, Given(), Target(keep=0.5), exclude=["stages", "stem"])


def test_widths_are_rounded(net: nn.Module) -> None:
    wide = nets.build("mlp", in_shape=(64,), classes=10, widths=[100, 5])
    plan = prune.plan(wide, None, Given(), Target(keep=0.5), round_to=8)
    assert plan.widths["classifier.0"] == (100, 48)
    assert plan.widths["classifier.2"] == (5, 5)
    plan = prune.plan(net, None, Given(), Target(macs=0.5), round_to=8)
    assert all(after % 8 == 0 for layer, (_, after) in plan.widths.items() if layer != "classifier.4")
    assert prune.plan(wide, None, Given(), Target(keep=0.255), rounding="round").widths["classifier.0"] == (100, 26)


def test_global_ranking_compares_over_mean_magnitude(net: nn.Module) -> None:
    """One layer's scores a thousand times larger do not make its units matter more; an uneven layer loses more."""
    scores = {"classifier.0": [1000.0] * 31 + [2000.0], "classifier.2": [1.0] * 8 + [0.01] * 8}
    plan = prune.plan(net, None, Given(scores), Target(keep=40), ranking="global")
    assert plan.widths["classifier.0"] == (32, 32)
    assert plan.widths["classifier.2"] == (16, 8)


def test_global_ranking_of_combined_criteria_cuts_wide_and_narrow_groups_alike() -> None:
    net = nets.build("mlp", in_shape=(64,), classes=10, widths=[64, 8])
    plan = prune.plan(net, None, [Given(), Tied()], Target(keep=0.5), ranking="global")
    assert plan.widths["classifier.0"][1] == pytest.approx(32, abs=1)
    assert plan.widths["classifier.2"][1] == pytest.approx(4, abs=1)


def test_a_global_share_that_is_a_whole_number_of_units_leaves_so_many() -> None:
    net = nets.build("mlp", in_shape=(64,), classes=10, widths=[100])
    assert 0.29 * 100 < 29
    plan = prune.plan(net, None, Given(), Target(keep=0.29), ranking="global")
    assert plan.widths["classifier.0"] == (100, 29)


def test_groups_are_scored_by_all_their_layers(zoo: Zoo) -> None:
    net, shape = zoo("residual")
    for larger in (1, 1000):  # a layer's scale adds no weight to it
        scores = {"stem": [8.0, 1, 1, 1, 1, 1, 1, 1], "b": [larger * one for one in (0.0, 0, 0, 0, 0, 4, 0, 300)]}
        plan = prune.plan(net, None, Given(scores), Target(keep={"stem": 2}), example=torch.randn(3, *shape))
        assert plan.kept == {"stem": (0, 7), "b": (0, 7)}
    assert plan.masks()["b"].tolist() == [True, False, False, False, False, False, False, True]


def test_criteria_are_combined(net: nn.Module) -> None:
    class Backwards(Given):
        def judge(self, layer: Layer, *rest: object, **more: object) -> Judgement:  # type: ignore[override]
            return Judgement(-super().judge(layer, *rest, **more).scores)  # type: ignore[arg-type]

    class Middle(Given):
        def judge(self, layer: Layer, *rest: object, **more: object) -> Judgement:  # type: ignore[override]
            return Judgement(-(torch.arange(layer.units) - 10.0).abs())

    plan = prune.plan(net, None, [Given(), Backwards(), Middle()], Target(keep={"classifier.0": 3}))
    assert plan.kept["classifier.0"] == (9, 10, 11)
    assert plan.judging.names == ("Given", "Backwards", "Middle")
    voted = prune.plan(net, None, [Given(), Middle()], Target(keep={"classifier.0": 3}), combine="vote")
    # The better halves are 16 to 31, and 2 to 17; of the units with one vote the tenth has the best mean rank.
    assert voted.kept["classifier.0"] == (10, 16, 17)
    # Three votes each of five units: the middle one has both.
    five = nets.build("mlp", in_shape=(64,), classes=10, widths=[5])
    voted = prune.plan(five, None, [Given(), Backwards()], Target(keep={"classifier.0": 1}), combine="vote")
    assert voted.kept["classifier.0"] == (2,)
    with pytest.raises(InputError, match="given twice"):
        prune.plan(net, None, [Given(), Given()], Target(keep=0.5))


class Tied(Given):
    """Equal scores, of which the last unit's counts most."""

    def judge(self, layer: Layer, *rest: object, **more: object) -> Judgement:  # type: ignore[override]
        return Judgement(torch.zeros(layer.units), super().judge(layer, *rest, **more).scores)  # type: ignore[arg-type]


def test_tiebreaks_count_where_criteria_are_combined(net: nn.Module) -> None:
    level = Given({"classifier.0": [1.0] * 32})
    plan = prune.plan(net, None, [level, Tied()], Target(keep={"classifier.0": 3}))
    assert plan.kept["classifier.0"] == (29, 30, 31)


def test_data_is_judged_once_in_a_balanced_sample(digits: Dataset) -> None:
    net = nets.build("lenet5", digits)
    seen: list[tuple[int, int]] = []
    one = prune.plan(net, digits, Seen(), Target(keep=0.5), samples=100, progress=lambda *at: seen.append(at))
    assert seen == [(100, 100)]
    assert one.judging.samples == 100
    assert one.kept == prune.plan(net, digits, Seen(), Target(keep=0.5), samples=100, batch=7).kept
    assert one == prune.plan(net, digits, Seen(), Target(keep=0.5), samples=100)
    assert one != prune.plan(net, digits, Seen(), Target(keep=0.5), samples=100, seed=1)
    with pytest.raises(InputError, match="not at weights alone; give data"):
        prune.plan(net, None, Seen(), Target(keep=0.5))


def test_missing_labels_and_nan_are_named(digits: Dataset) -> None:
    import dataclasses

    unlabelled = dataclasses.replace(digits, y=None, task="none", names=())
    net = nets.build("lenet5", digits)
    with pytest.raises(InputError, match="criterion 'Labelled' needs labels, which the data has not"):
        prune.plan(net, unlabelled, Labelled(), Target(keep=0.5))
    with torch.no_grad():
        net.features[0].weight[0] = float("nan")
    with pytest.raises(InputError, match=r"'features.3' .* NaN"):
        prune.plan(net, digits, Seen(), Target(keep=0.5))


class Grouper(Given):
    """Chooses the last units for odd numbers, the first for even ones, and has a mind of its own."""

    def judge(self, layer: Layer, *rest: object, **more: object) -> Judgement:  # type: ignore[override]
        return Judgement(torch.zeros(layer.units), notes={"natural_keep": layer.units // 4})

    def choose(self, layer: Layer, judgement: Judgement, keep: int) -> Tensor:
        return torch.arange(layer.units - keep, layer.units) if keep % 2 else torch.arange(keep)


def test_a_criterion_may_choose_for_itself(net: nn.Module) -> None:
    plan = prune.plan(net, None, Grouper(), Target(keep={"classifier.0": 3, "classifier.2": 2}))
    assert plan.kept == {"classifier.0": (29, 30, 31), "classifier.2": (0, 1)}
    plan = prune.plan(net, None, Grouper(), Target(keep="natural"))
    assert {layer: after for layer, (_, after) in plan.widths.items()} == {
        "classifier.0": 8, "classifier.2": 4, "classifier.4": 10,
    }  # fmt: skip


def test_plans_are_json(net: nn.Module, tmp_path: Path) -> None:
    plan = prune.plan(net, None, "l1", Target(macs=0.5))
    path = plan.save(tmp_path / "plan.json")
    back = prune.Plan.load(path)
    assert back == plan
    assert back.kept == plan.kept
    assert torch.equal(back.apply(net).classifier[0].weight, plan.apply(net).classifier[0].weight)
    held = json.loads(path.read_text())
    assert held["target"]["macs"] == 0.5
    for change, said in (
        ({"rows": 3}, "rows"),
        ({"schema_version": 99}, "schema_version: 99 is of another"),
        ({"speed": 1}, "speed"),
        ({"macs_after": "3"}, "macs_after"),
    ):
        (tmp_path / "bad.json").write_text(json.dumps({**held, **change}))
        with pytest.raises(InputError, match=f"not a plan that Nervure wrote .{said}"):
            prune.Plan.load(tmp_path / "bad.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(InputError, match="not a plan"):
        prune.Plan.load(tmp_path / "bad.json")
    with pytest.raises(InputError, match="cannot be read"):
        prune.Plan.load(tmp_path / "none.json")


def test_evidence(net: nn.Module) -> None:
    plan = prune.plan(net, None, "l1", Target(keep=0.5))
    flow, table = plan.evidence["widths"], plan.evidence["plan"]
    assert flow.before.tolist() == [32, 16, 10]  # type: ignore[attr-defined]
    assert flow.after.tolist() == [16, 8, 10]  # type: ignore[attr-defined, union-attr]
    assert table.rows[-1][:5] == ("network", 58, 34, plan.macs_before, plan.macs_after)  # type: ignore[attr-defined]
    assert {"plan-l1-notes", "plan-l1-classifier-0", "plan-l1-classifier-2"} <= set(plan.evidence)
    bars = plan.evidence["plan-l1-classifier-0"]
    stays = [unit for unit, cut in zip(bars.bars, bars.groups, strict=True) if not cut]  # type: ignore[attr-defined]
    assert sorted(map(int, stays)) == list(plan.kept["classifier.0"])
    assert bars.series == ("stays", "is cut")  # type: ignore[attr-defined]


def test_units_that_stay_without_a_weight_are_counted(net: nn.Module) -> None:
    with torch.no_grad():
        net.classifier[0].weight[:20] = 0  # type: ignore[index]
    table = prune.plan(net, None, "l1", Target(keep=0.5)).evidence["plan-l1-notes"]
    assert table.columns == ("layer", "stay dead")  # type: ignore[attr-defined]
    assert table.rows == (("classifier.0", 4), ("classifier.2", 0))  # type: ignore[attr-defined]


def test_units_that_stay_behind_a_norm_that_silences_them_are_counted() -> None:
    """Three scales are nothing; a fourth output hardly varies. A norm behind an activation is not the layer's."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.ReLU(), nn.BatchNorm2d(6),
            nn.Flatten(), nn.Linear(96, 2),
        )  # fmt: skip
    with torch.no_grad():
        net[1].weight[[0, 1, 2]] = torch.tensor([0.0, 1e-4, -1e-4])
        net[1].weight[4] = -0.5
        net[1].running_var[3] = 1e-12
        net[5].weight[:] = 0
    example = torch.zeros(3, 1, 8, 8)
    plan = prune.plan(net, None, "random", Target(keep={"0": 8}), example=example)
    table = plan.evidence["plan-random-notes"]
    assert table.rows == (("0", 0, 4), ("3", 0, 0))  # type: ignore[attr-defined]
    assert "4 units stay dead" in table.alt
    kept = plan.masks()["0"]
    cut = prune.plan(net, None, "batch-norm-scale", Target(keep={"0": 4}), exclude=["3"], example=example)
    assert bool(kept.all())
    assert cut.evidence["plan-batch-norm-scale-notes"].rows[0][-1] == 1  # type: ignore[attr-defined]


def small_cnn() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 3)
        )  # fmt: skip


def test_figures_of_clusterings_show_the_units_that_the_plan_keeps() -> None:
    plan = prune.plan(small_cnn(), None, "ssim-kmeans", Target(keep=0.5), example=torch.zeros(3, 1, 8, 8))
    layer = next(row for row in plan.rows if row.layer == "0")
    assert layer.scores is None
    shown = {name: one for name, one in plan.evidence.items() if name.startswith("plan-ssim-kmeans-0")}
    count = len(layer.kept)
    pictures = next(one for one in shown.values() if one.kind == "images")
    framed = {
        int(caption)
        for caption, frame in zip(pictures.captions, pictures.framed, strict=True)  # type: ignore[attr-defined]
        if frame
    }
    assert framed
    assert framed <= set(layer.kept)
    curve = next(one for one in shown.values() if one.kind == "curve")
    assert curve.notes["chosen"].startswith("best: ")
    assert f", kept: {count}" in curve.notes["chosen"]
    assert any(f"sizes of the {count} clusters" in one.title for one in shown.values())


class Flawed(nn.Module):
    """Its accuracy on validation is a given function of its width."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(2, 20), nn.Linear(20, 2)
        self.asked: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.hidden(x).relu())


@pytest.mark.parametrize(("drop", "least"), [(0.0, 12), (5.0, 11), (30.0, 6), (99.0, 1)])
def test_accuracy_is_searched_in_six_evaluations(monkeypatch: pytest.MonkeyPatch, drop: float, least: int) -> None:
    """Five points are lost for each unit under 12 of 20; the grid has a unit a step."""
    module = importlib.import_module("nervure.train.evaluate")
    asked = []

    def measured(net: nn.Module, ds: Dataset, split: str, device: str) -> object:
        assert split == "validation"
        width = net.hidden.out_features
        asked.append(width)
        return train.Evaluation(split, {"accuracy": 0.9 - 0.05 * max(0, 12 - width)})

    monkeypatch.setattr(module, "evaluate", measured)
    ds = from_arrays(np.random.default_rng(0).normal(size=(80, 2)), np.arange(80) % 2)
    recovered = []
    plan = prune.plan(
        Flawed(),
        ds,
        Given(),
        Target(accuracy_drop=drop),
        recover=lambda small, net, ds, kept: recovered.append(kept["hidden"]) or small,
    )
    assert plan.widths["hidden"] == (20, least)
    assert len(asked) <= 6
    assert list(map(len, recovered)) == asked[1:]
    assert [one.fits for one in plan.trials] == [one.drop <= drop + 1e-9 for one in plan.trials]  # type: ignore[operator]
    assert plan.trials[0].share == 1.0
    unsplit = from_arrays(np.zeros((80, 2)), np.arange(80) % 2, validation=0)
    with pytest.raises(InputError, match="no validation split"):
        prune.plan(Flawed(), unsplit, Given(), Target(accuracy_drop=1.0))


def test_all_the_work_is_done_on_the_device(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def heard(real: Callable[..., object]) -> Callable[..., object]:
        def told(*given: object, **options: object) -> object:
            asked.append(str(options["device"]))
            return real(*given, **options)

        return told

    monkeypatch.setattr("nervure.prune.scores.judge", heard(importlib.import_module("nervure.judge").judge))
    monkeypatch.setattr(trials, "mend", heard(trials.mend))
    evaluate = importlib.import_module("nervure.train.evaluate")
    monkeypatch.setattr(evaluate, "evaluate", heard(evaluate.evaluate))
    target = Target(accuracy_drop=99.0, recover="bias")
    made = prune.plan(nets.build("mlp", digits, widths=[8, 6]), digits, "l1", target, samples=60, device="cpu")
    assert asked == ["cpu"] * (2 * len(made.trials))  # once judged; the whole network is measured but not repaired
    with pytest.raises(InputError, match="unknown device 'gpu0'"):
        prune.plan(nets.build("mlp", digits, widths=[8]), digits, "l1", Target(keep=0.5), device="gpu0")


def test_recovery_is_told_what_each_trial_kept(digits: Dataset) -> None:
    net = nets.build("mlp", digits, widths=[16, 16])
    with torch.no_grad():
        net.classifier[2].weight[:7] = 0  # type: ignore[index]
        net.classifier[2].bias[:7] = 0  # type: ignore[index]
    target = Target(accuracy_drop=99.0, recover=("kernel-estimation", "batch-norm"))
    plan = prune.plan(net, digits, "random", target)
    assert plan.trials[-1].fits
    assert prune.Target.model_validate_json(target.model_dump_json()) == target


def test_the_grid_needs_five_halvings() -> None:
    assert math.ceil(math.log2(len(trials.GRID) + 1)) == 5


def test_latency_is_measured_and_kept() -> None:
    net = nets.build("mlp", in_shape=(256,), classes=10, widths=[2048, 2048])
    plan = prune.plan(net, None, Given(), Target(latency=0.6, batch=4))
    assert plan.round_to == 8
    assert plan.latency is not None
    assert plan.latency.runs >= 30
    assert len(plan.latency.before) == plan.latency.runs
    assert plan.latency.after_ms <= 0.6 * plan.latency.before_ms
    assert all(after % 8 == 0 for layer, (_, after) in plan.widths.items() if layer != "classifier.4")
    assert "no multiples of 8" not in plan.table().alt
    odd = plan.rows[0].model_copy(update={"kept": plan.rows[0].kept[1:]})
    said = plan.model_copy(update={"rows": (odd, *plan.rows[1:])}).table().rows[-1][-1]
    assert str(said).endswith("; 1 layers keep widths that are no multiples of 8, which kernels like less")
    with pytest.raises(InputError, match="smallest network tried takes"):
        prune.plan(net, None, Given(), Target(latency_ms=1e-6))


def test_planning_leaves_the_network_alone(zoo: Zoo, norm: Criterion) -> None:
    net, shape = zoo("residual")
    net.train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.random.get_rng_state()
    prune.plan(net, None, norm, Target(macs=0.5), example=torch.randn(3, *shape, generator=torch.Generator()))
    assert net.training
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


@pytest.mark.parametrize("name", [one for one in prune.criteria.names() if "kmeans" not in one])
def test_every_criterion_plans(digits: Dataset, name: str) -> None:
    """Including those that read the sample more than once, trace the network, want gradients, or search."""
    net = nets.build("lenet5", digits, batch_norm=True)
    exclude = ["classifier"] if name == "ablation" else []
    plan = prune.plan(net, digits, name, Target(keep=0.5), samples=20, exclude=exclude)
    assert plan.widths["features.0"] == (6, 3)
    assert plan.applied is None
    assert plan.apply(net)(torch.zeros(2, *digits.in_shape)).shape == (2, 10)


def test_criteria_of_weights_need_no_data() -> None:
    net = nets.build("lenet5", in_shape=(1, 28, 28), classes=10)
    for name in ("l1", "l2", "fpgm", "weight-sum", "random"):
        assert prune.plan(net, None, name, Target(keep=0.5)).widths["features.0"] == (6, 3)
    for name in ("hrank", "mean-activation", "thinet"):
        with pytest.raises(InputError, match="give data"):
            prune.plan(net, None, name, Target(keep=0.5))
    with pytest.raises(InputError, match="'taylor' needs labelled data"):
        prune.plan(net, None, "taylor", Target(keep=0.5))


@pytest.mark.parametrize(
    ("name", "criterion", "said"),
    [
        ("lstm", "lrp", "no rule for the operation 'lstm' in module 'rnn'"),
        ("lstm", "thinet", "layer 'conv' is read by 'rnn', of type LSTM"),
        ("branches", "nisp", "no rule for the operation"),
        ("squeezed", "lrp", "no relevance reached layer 'down'"),
        ("transposed", "channel-lasso", "layer '0' is read by '2', of type ConvTranspose2d"),
        ("gated", "thinet", "layer 'a': its 12 units cannot be found"),
    ],
)
def test_a_network_that_a_criterion_cannot_judge_is_refused_with_a_way_out(
    zoo: Zoo, name: str, criterion: str, said: str
) -> None:
    net, shape = zoo(name)
    rng = np.random.default_rng(0)
    given = from_arrays(rng.normal(size=(30, *shape)).astype("float32"), np.arange(30) % 2)
    with pytest.raises(InputError, match=said) as error:
        prune.plan(net, given, criterion, Target(keep=0.5))
    assert "use another criterion" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ranking": "foo"}, "ranking='foo'; take 'layer' or 'global'"),
        ({"rounding": "up"}, "rounding='up'"),
        ({"combine": "sum"}, "combine='sum'"),
        ({"batch": 0}, "batch=0; give a whole number from 1"),
        ({"batch": -1}, "batch=-1"),
        ({"samples": 10.5}, "samples=10.5"),
        ({"target": 0.5}, "found 0.5"),
        ({"criterion": None}, "None is no criterion"),
        ({"example": np.zeros((3, 64), dtype="float32")}, "an example of type ndarray; give a tensor"),
        ({"exclude": "classifier.0"}, r"give a list of names, such as \['classifier.0'\]"),
    ],
)
def test_arguments_that_cannot_be_meant(net: nn.Module, options: dict[str, object], said: str) -> None:
    given: dict[str, object] = {"criterion": "l1", "target": Target(keep=0.5)} | options
    with pytest.raises(InputError, match=said) as error:
        prune.plan(net, None, **given)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_a_network_that_cannot_be_copied() -> None:
    with pytest.warns(FutureWarning):
        net = nn.Sequential(torch.nn.utils.weight_norm(nn.Linear(4, 8)), nn.ReLU(), nn.Linear(8, 2))
    net(torch.ones(1, 4))
    with pytest.raises(InputError, match="cannot be copied") as error:
        prune.plan(net, None, "l1", Target(keep=0.5), example=torch.randn(3, 4))
    assert "\n" not in str(error.value)


def test_a_search_goes_on_from_what_it_kept(tmp_path: Path, digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    net, target = small_cnn(), Target(keep="natural")
    given = {"example": torch.zeros(3, 1, 8, 8), "searched": tmp_path}
    first = prune.plan(net, None, "ssim-kmeans", target, **given)  # type: ignore[arg-type]
    assert {file.name for file in (tmp_path / "ssim-kmeans").iterdir()} == {"0.npz", "2.npz"}
    search = importlib.import_module("nervure.prune.ssim.search")
    monkeypatch.setattr(search._Work, "_grouper", None)  # nothing is left to cluster
    assert prune.plan(net, None, "ssim-kmeans", target, **given) == first  # type: ignore[arg-type]
    mlp = nets.build("mlp", digits, widths=[4])
    target = Target(keep=0.5)
    found = prune.plan(mlp, digits, "ablation", target, samples=20, searched=tmp_path)
    monkeypatch.setattr(prune.MaskProbe, "_evaluate", None)
    assert prune.plan(mlp, digits, "ablation", target, samples=20, searched=tmp_path) == found


def test_layers_of_training_alone_are_no_alarm(caplog: pytest.LogCaptureFixture) -> None:
    ds = data.from_arrays(np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32), validation=0, test=0)
    net = cluster.DCAEKMeans(2, epochs=1, network_options={"widths": [8]}, random_state=0).fit(ds).net_
    caplog.clear()
    made = prune.plan(net, None, "l1", prune.Target(keep=0.5), example=ds.batch([0, 1]).x)
    assert made.widths and not caplog.records


def test_layers_that_other_samples_may_lead_through_are_named(caplog: pytest.LogCaptureFixture) -> None:
    class Either(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.low, self.high = nn.Linear(4, 8), nn.Linear(8, 6), nn.Linear(8, 6)
            self.head = nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            way = self.high if x.mean() > 9 else self.low
            out: Tensor = self.head(way(torch.relu(self.a(x))))
            return out

    prune.plan(Either(), None, "l1", Target(keep=0.5), example=torch.rand(3, 4))
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["high"]
    assert "exclude" in caplog.text
    caplog.clear()
    prune.plan(nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2)), None, "l1", Target(keep=0.5), example=torch.rand(3, 4))
    assert not caplog.records
