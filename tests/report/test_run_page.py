import math
import re
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nervure.evidence import Flow
from nervure.nets.origin import Base, Origin, Step
from nervure.report import history_curves, run_page
from nervure.report.lineage import command, passages
from nervure.report.run_page import key_figures


class TestRunPage:
    def test_every_part_is_there(self, whole_run):
        html = run_page(whole_run)
        headings = re.findall(r"<h2>(.*?)</h2>", html)
        assert headings == [
            "The data",
            "Training",
            "What it gets right and wrong",
            "Cost",
            "More evidence",
            "Lineage",
            "Make it again",
        ]
        for words in ("75.0 %", "61 706", "Confusion", "Cost by layer", "1 200", "criterion"):
            assert words in html
        assert "Validation accuracy was best after epoch 6: 75.0 %" in html
        assert "6 epochs in 4.0 minutes" in html

    def test_the_best_epoch_is_one_of_those_with_the_sparsity_of_the_network(self, fake_run):
        rows = [(1, 0.0, 0.9), (2, 0.5, 0.7), (3, 0.5, 0.8)]
        history = [{"epoch": epoch, "sparsity": gone, "validation_accuracy": score} for epoch, gone, score in rows]
        assert "best after epoch 3: 80.0 %" in run_page(fake_run(history=history, metrics={"sparsity": 0.5}))
        assert "best after epoch" not in run_page(fake_run(history=history, metrics={"sparsity": 0.3}))
        dense = [{"epoch": 1, "validation_accuracy": 0.9}]
        assert "best after epoch 1" in run_page(fake_run(history=dense, metrics={"sparsity": 0.5}))

    def test_the_epoch_that_is_kept_is_the_best_by_the_recipes_measure(self, fake_run):
        rows = [(1, 0.9, 1.0), (2, 0.5, 0.8), (3, 0.7, 0.9)]
        history = [{"epoch": at, "validation_loss": loss, "validation_accuracy": share} for at, loss, share in rows]
        asked = [{"action": "train", "seed": 0, "command": "", "settings": {"keep": keep, "monitor": "loss"}}
                 for keep in ("best", "last")]  # fmt: skip
        page = run_page(fake_run(history=history, lineage=(SimpleNamespace(**asked[0], name="train"),)))
        assert "Validation loss was best after epoch 2: 0.5. Its network is kept." in page
        page = run_page(fake_run(history=history, lineage=(SimpleNamespace(**asked[1], name="train"),)))
        assert "Validation accuracy was best after epoch 1: 100.0 %." in page
        assert "is kept" not in page

    def test_evidence_is_placed_by_its_name(self, whole_run):
        html = run_page(whole_run)
        where = [html.index(words) for words in ("<h2>Training", ">Confusion<", "<h2>Cost", ">Cost by layer<")]
        assert where == sorted(where)
        assert html.index("<h2>More evidence") < html.index("Something of its own")

    def test_figures_of_cuts_stand_with_what_was_cut(self, fake_run):
        names = ("plan-l1-fc", "pruning-widths", "layer-wise", "degrees", "connections")
        html = run_page(fake_run(evidence={name: Flow(title=f"of {name}", alt="", before=[1]) for name in names}))
        assert "<h2>More evidence" not in html
        assert all(html.index("<h2>What was cut, and why") < html.index(f">of {name}<") for name in names)

    def test_the_barest_run_has_a_page(self, fake_run):
        html = run_page(fake_run(path=None, names=(), task="none", source="", fingerprint="", versions={}))
        assert re.findall(r"<h2>(.*?)</h2>", html) == ["The data"]

    def test_names_from_data_are_escaped(self, fake_run):
        evil = "<script>x</script>"
        run = fake_run(
            names=(evil,),
            source=evil,
            lineage=({"action": evil, "settings": {evil: evil}},),
            versions={evil: evil},
            history=[{"epoch": 1, evil: 3.0}],
            metrics={evil: 1.0},
            evidence={evil: Flow(title=evil, alt=evil, before=[1])},
        )
        assert "<script" not in run_page(run)

    def test_metrics_that_are_not_numbers_do_not_stop_it(self, fake_run):
        html = run_page(fake_run(metrics={"accuracy": math.nan, "parameters": 3.0}))
        assert "<dt>Accuracy</dt>" not in html
        assert "<dt>Parameters</dt>" in html


def test_a_run_of_the_store_has_a_page():
    from torch import nn

    from nervure.store.run import Action, Run

    run = Run(
        net=nn.Linear(4, 2),
        in_shape=(4,),
        kind="table",
        task="classification",
        names=("cat", "dog"),
        source="flowers.csv",
        history=[
            {"epoch": 1, "train_loss": 2.0, "seconds": 1.0},
            {"epoch": 2, "train_loss": 1.0, "seconds": 1.0},
        ],
        metrics={"accuracy": 0.5},
        lineage=(Action("train", {"epochs": 2}, 7),),
    )
    html = run_page(run)
    assert "Linear on flowers.csv" in html
    assert "Make it again" not in html  # a network that no name and no function makes
    assert "preprocessing, scale" in html


def test_a_clusterer_has_a_section_of_its_own_in_reading_order():
    names = ("counts", "count", "seeds-agreement", "seeds-clusters", "sizes", "snapshot-3", "clusters")
    figures = {name: Flow(title=f"T {name}", alt="", steps=["a"], before=[1]) for name in names}
    metrics = {"clusters": 3.0, "effective_clusters": 2.5, "confidence": 0.9, "acc": 0.75}
    html = run_page(SimpleNamespace(
        path=None, net=None, history=[], metrics=metrics, evidence=figures, lineage=[], names=("a", "b", "c"),
        task="clustering", source="digits", fingerprint="", versions={}, preprocessing=None,
    ))  # fmt: skip
    assert "3 of 3 clusters have members" in html and "count as 2.5 equal ones" in html
    assert "grouped into 3 clusters" in html
    order = ("clusters", "snapshot-3", "sizes", "count<", "counts", "seeds-agreement", "seeds-clusters")
    places = [html.index(f"T {name}") for name in order]
    assert places == sorted(places)
    assert "<h2>More evidence" not in html and "<h2>What was cut" not in html


class TestHistoryCurves:
    def test_losses_together_accuracies_together_the_rest_alone(self):
        rows = [
            {
                "epoch": at,
                "train_loss": 1.0,
                "validation_loss": 2.0,
                "validation_accuracy": 0.5,
                "lr": 0.1,
                "gate": at,
            }
            for at in (1, 2)
        ]
        curves = {curve.title: curve for curve in history_curves(rows)}
        assert list(curves) == ["Loss", "Accuracy", "Gate", "Learning rate"]
        assert curves["Loss"].labels == ("train", "validation")
        assert curves["Loss"].y.tolist() == [[1, 1], [2, 2]]
        assert curves["Gate"].x.tolist() == [1, 2]

    def test_what_is_missing_leaves_a_gap(self):
        rows = [
            {"epoch": 1, "train_loss": None},
            {"epoch": 2, "train_loss": 2.0},
            {"epoch": 3},
            {"epoch": 4, "train_loss": "x"},
        ]
        (curve,) = history_curves(rows)
        np.testing.assert_array_equal(curve.y, [[np.nan, 2, np.nan, np.nan]])

    def test_a_wide_range_of_losses_is_logarithmic(self):
        assert history_curves([{"train_loss": 100.0}, {"train_loss": 0.01}])[0].log_y
        assert not history_curves([{"train_loss": 3.0}, {"train_loss": 0.1}])[0].log_y

    def test_durations_and_empty_histories_have_no_curve(self):
        assert history_curves([]) == ()
        assert history_curves([{"epoch": 1, "seconds": 3.0, "note": "x"}]) == ()

    @settings(max_examples=50, deadline=None)
    @given(
        st.lists(
            st.dictionaries(
                st.sampled_from(["epoch", "train_loss", "validation_accuracy", "lr", "odd key"]),
                st.none() | st.floats() | st.integers(-5, 5) | st.text(max_size=3),
            ),
            max_size=5,
        )
    )
    def test_no_history_stops_it(self, rows):
        for curve in history_curves(rows):
            assert curve.y.shape[1] == len(curve.x) == len(rows)


class TestKeyFigures:
    def test_test_scores_come_before_validation_scores(self):
        (tile,) = key_figures({"validation_accuracy": 0.9, "test_accuracy": 0.8})
        assert (tile.label, tile.value, tile.note) == ("Accuracy", "80.0 %", "test")

    def test_sizes_and_latency_have_units(self):
        tiles = {tile.label: tile.value for tile in key_figures({"bytes": 248000.0, "latency_ms": 0.6412})}
        assert tiles == {"Size": "0.25 MB", "Latency": "0.641 ms"}


class TestLineage:
    def test_entries_may_be_values_with_attributes(self):
        @dataclass
        class Action:
            name: str = "prune"
            settings: dict = field(default_factory=lambda: {"keep": {"conv1": 0.5}})
            seed: int = 3

        (passage,) = passages([Action()])
        assert passage.name == "prune"
        assert passage.settings == (("keep.conv1", "0.5"), ("seed", "3"))

    def test_long_lists_are_cut(self):
        (passage,) = passages([{"action": "prune", "settings": {"layers": list(range(20))}}])
        assert passage.settings[0][1] == "0, 1, 2, 3, 4, 5, 6, 7 …"


class TestCommand:
    def test_a_recorded_command_is_given_as_it_was(self, fake_run):
        typed = "nervure train 'my photos' -o runs/a"
        assert command(fake_run(lineage=({"action": "train", "settings": {}, "command": typed},))) == (
            "nervure train 'my photos' -o runs/a"
        )

    def test_else_the_training_is_told_if_it_is_all_that_was_done(self, fake_run):
        trained = {"action": "train", "seed": 4, "settings": {"epochs": 6, "batch": 128}}
        run = fake_run(lineage=(trained,))
        assert command(run) == ""  # of a network that nobody named
        run.origin = Origin(Base("name", "lenet5", (1, 8, 8), 10, {}))
        assert command(run) == "nervure train digits --net lenet5 --set epochs=6 --seed 4 -o runs/base"
        run.origin = Origin(run.origin.base, (Step("cut", {}),))
        assert command(run) == ""
        run.origin = Origin(Base("blueprint", {"layers": []}, (1, 8, 8), 10, {}))
        assert command(run) == ""

    def test_nothing_is_invented(self, fake_run):
        assert command(fake_run(lineage=({"action": "cluster", "settings": {}},))) == ""

    @pytest.mark.parametrize(
        ("steps", "shown"),
        [
            ([("train", "t"), ("prune", "p"), ("recover", None)], "t\np"),
            ([("train", "t"), ("prune", None)], ""),
            ([("train", None), ("prune", "p")], ""),
            ([("cluster", None), ("train", "c"), ("prune", "p")], "c\np"),
            ([("train", "s"), ("shape", None), ("prune", None), ("recover", None), ("train", None)], "s"),
        ],
    )
    def test_commands_are_shown_only_where_each_step_has_one(self, fake_run, steps, shown):
        run = fake_run(lineage=tuple({"action": name, "settings": {}, "command": typed} for name, typed in steps))
        assert command(run) == shown
