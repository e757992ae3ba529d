"""compare_pruning with its trials made in this process, since starting one takes longer than making it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nervure import data, nets, train
from nervure.errors import InputError
from nervure.study.compare_pruning import Comparison, compare_pruning
from nervure.study.side_by_side import front
from nervure.train import Recipe


def compared(base: Path, out: Path, ds: data.Dataset | None = None, **changes: object) -> Comparison:
    given = {"criteria": ["l1", "random", "majority-vote"], "keep": [0.5, 0.25], "seeds": 2, "samples": 100}
    return compare_pruning(base, ds or data.load("digits"), out=out, device="cpu", **{**given, **changes})  # type: ignore[arg-type]


def test_every_criterion_share_and_seed_is_there_once(base: Path, made: list[str], tmp_path: Path) -> None:
    found = compared(base, tmp_path)
    assert made == ["prune"] * 12 + ["prune-agreement"]
    assert not found.results.failed
    table = found.table()
    assert [row[:3] for row in table.rows] == [
        (name, keep, 2) for keep in (0.5, 0.25) for name in ("l1", "random", "majority-vote")
    ]
    line = dict(zip(table.columns, table.rows[2], strict=True))
    values = [found.values(name, 0.5, "accuracy_recovered") for name in ("majority-vote", "random", "l1")]
    assert line["recovered"] == pytest.approx(values[0].mean())
    assert line["against random"] == pytest.approx((values[0] - values[1]).mean())
    assert line["against l1"] == pytest.approx((values[0] - values[2]).mean())
    assert line["p of l1"] is not None
    assert table.rows[0][table.columns.index("against l1")] is None
    kinds = [figure.kind for figure in found.figures()]
    assert kinds == ["curve", "curve", "scatter", "table", "matrix"]
    assert [*found.figures()[-1].values.diagonal()] == pytest.approx([1, 1, 1])  # type: ignore[attr-defined]
    compared(base, tmp_path)
    assert len(made) == 13  # what is there is not made again


def test_differences_without_spread_have_no_p(base: Path, made: list[str], tmp_path: Path) -> None:
    """Criteria of weights alone cut the same for every seed: that says nothing of chance."""
    found = compared(base, tmp_path, criteria=["l1", "fpgm"], keep=[0.5], recover=["none"])
    line = dict(zip(found.table().columns, found.table().rows[1], strict=True))
    assert line["against l1"] != 0 and line["p of l1"] is None


def test_a_network_trained_anew_in_its_place_is_another_one(made: list[str], tmp_path: Path) -> None:
    ds = data.load("digits")
    given = {"criteria": ["l1"], "keep": [0.5], "seeds": 1, "recover": ["none"]}
    for seed in (0, 1):
        net, recipe = nets.build("mlp", ds, widths=[16], seed=seed), Recipe(epochs=1, seed=seed)
        run = train.fit(net, ds, recipe, out=tmp_path / "base", overwrite=True, device="cpu")
        found = compared(tmp_path / "base", tmp_path / "out", **given)
        assert found.results.records[0].metrics["accuracy_base"] == run.metrics["accuracy"]
    assert made == ["prune", "prune-agreement"] * 2


def test_a_part_of_the_data_is_refused(base: Path, made: list[str], tmp_path: Path) -> None:
    part = data.load("digits").subset(np.arange(300))
    found = compared(base, tmp_path, ds=part, criteria=["l1"], keep=[0.5], seeds=1)
    assert [str(one.error).split(" (")[0] for one in found.results.failed] == [
        "digits: trials load other data from it than was given"
    ]
    assert found.agreement.failed
    whole = compared(base, tmp_path, criteria=["l1"], keep=[0.5], seeds=1)
    assert not whole.results.failed


def test_without_controls_or_recovery(base: Path, made: list[str], tmp_path: Path) -> None:
    found = compared(base, tmp_path, criteria=["majority-vote"], keep=[0.5], seeds=1, recover=["none"])
    row = dict(zip(found.table().columns, found.table().rows[0], strict=True))
    assert row["pruned"] == row["recovered"]
    assert not any("against" in name for name in row)


def test_a_repair_with_settings_is_another_trial(base: Path, made: list[str], tmp_path: Path) -> None:
    given = {"criteria": ["l1"], "keep": [0.25], "seeds": 1}
    usual = compared(base, tmp_path, **given)
    assert "recover_options" not in usual.results.study.settings
    weak = compared(base, tmp_path, **given, recover_options={"samples": 5, "ridge": 100})
    assert weak.results.study.settings["recover_options"] == {"samples": 5, "ridge": 100}
    values = [one.values("l1", 0.25, "accuracy_recovered")[0] for one in (usual, weak)]
    assert values[0] > values[1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"recover_options": {"rigde": 1}}, "did you mean 'ridge'"),
        ({"criteria": ["l1", "l11"]}, "l11"),
        ({"criteria": ["l1", "l1"]}, "name each criterion once"),
        ({"keep": [0.5, 1.5]}, "keep 1.5"),
        ({"keep": []}, "at least one"),
        ({"recover": ["foo"]}, "unknown recovery 'foo'"),
    ],
)
def test_faults_come_before_any_trial(
    base: Path, made: list[str], tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        compared(base, tmp_path / "out", **changes)
    assert made == []
    assert not (tmp_path / "out").exists()


def test_data_without_a_test_split_is_refused_at_once(base: Path, made: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no test split"):
        compare_pruning(base, data.load("digits", test=0), criteria=["l1"], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_training_afterwards_is_what_criteria_are_compared_by(base: Path, made: list[str], tmp_path: Path) -> None:
    tune = Recipe(epochs=1).to_json()
    found = compared(base, tmp_path, criteria=["l1", "random"], keep=[0.5], tune=tune)
    assert found.stages == ("pruned", "recovered", "tuned")
    line = dict(zip(found.table().columns, found.table().rows[0], strict=True))
    tuned, control = (found.values(name, 0.5, "accuracy_tuned") for name in ("l1", "random"))
    assert line["tuned"] == pytest.approx(tuned.mean())
    assert line["against random"] == pytest.approx((tuned - control).mean())
    assert line["parameters"] == found.values("l1", 0.5, "parameters").mean()
    assert line["latency ms"] == pytest.approx(np.median(found.values("l1", 0.5, "latency_ms")))
    assert [figure.title for figure in found.figures()][:4] == [
        "Accuracy as cut",
        "Accuracy after recovery",
        "Accuracy after training",
        "Accuracy against cost, and the Pareto front",
    ]
    assert "Uncut: accuracy 8" in found.table().alt or "Uncut: accuracy 9" in found.table().alt


def test_regression_is_compared_by_its_error(made: list[str], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 6)).astype(np.float32)
    np.savez(tmp_path / "line.npz", x=x, y=x.sum(1) + 0.1 * rng.normal(size=200).astype(np.float32))
    ds = data.load(str(tmp_path / "line.npz"), task="regression")
    run = train.fit(nets.build("mlp", ds, widths=[16]), ds, Recipe(epochs=2), out=tmp_path / "run", device="cpu")
    found = compared(tmp_path / "run", tmp_path / "out", ds=ds, criteria=["l1", "random"], keep=[0.5])
    assert run.task == "regression"
    assert found.quality == "rmse"
    line = dict(zip(found.table().columns, found.table().rows[0], strict=True))
    assert line["recovered"] == pytest.approx(found.values("l1", 0.5, "rmse_recovered").mean())
    assert line["recovered"] > 0
    assert "less is better" in found.table().alt


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12))
def test_the_front_is_what_no_other_beats(points: list[tuple[int, int]]) -> None:
    found = {points[at] for at in front([float(cost) for cost, _ in points], [float(quality) for _, quality in points])}
    beaten = {one for one in points if any(two != one and two[0] <= one[0] and two[1] >= one[1] for two in points)}
    assert found == set(points) - beaten
