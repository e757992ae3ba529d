import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from nervure.errors import InputError
from nervure.evidence import Scatter
from nervure.report import compare_page
from nervure.report.compare_page import compare_table, labels_of


@pytest.fixture
def two(whole_run):
    small = dataclasses.replace(
        whole_run, path=Path("runs/small"), metrics={"accuracy": 0.745, "parameters": 20000.0, "rmse": 1.0}
    )
    return [whole_run, small]


def test_values_and_differences(two):
    table = compare_table(two)
    assert table.columns == ("metric", "base", "small", "small, difference")
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["accuracy"] == (0.75, 0.745, "−0.50 points")
    assert rows["parameters"] == (61706, 20000, "−67.6 %")
    assert rows["macs"] == (416520, None, None)
    assert rows["rmse"] == (None, 1.0, None)


def test_the_page_has_curves_overlaid_and_costs(two):
    html = compare_page(two)
    assert "<h1>base and small</h1>" in html
    headings = re.findall(r"<h2>(.*?)</h2>", html)
    assert headings[:2] == ["Side by side", "Training"]
    assert "Lineage of small" in headings
    assert "Loss, train" in html
    assert "small: Cost by layer" in html
    assert "Cost as a share of base" in html


def test_latents_stand_side_by_side(two):
    latents = Scatter(title="Latent space, by label", alt="two", points=np.eye(2), groups=[0, 1], labels=["a", "b"])
    for run in two:
        run.evidence = {**run.evidence, "latents-by-label": latents, "latents-map": latents}
    html = compare_page(two)
    assert "base: Latent space, by label" in html and "small: Latent space, by label" in html
    assert "Latents by label" in html and "Latents map" not in html


def test_tiles_name_the_run_that_they_describe(two):
    html = compare_page([two[0], two[0], two[1]])
    assert "Accuracy, small" in html
    assert "base (1): 75.0 %" in html


def test_runs_of_other_lengths_share_an_axis(two):
    two[1].history = two[1].history[:2]
    assert "<svg" in compare_page(two)


def test_different_data_is_said(two):
    two[1].fingerprint = "other"
    assert "cannot be held against each other" in compare_page(two)


def test_labels_are_never_alike(fake_run):
    runs = [
        fake_run(path=Path("a/run")),
        fake_run(path=Path("b/run")),
        fake_run(path=None),
        fake_run(path=None),
    ]
    labels = labels_of(runs)
    assert labels[:2] == ("a/run", "b/run")
    assert len(set(labels)) == 4


def test_one_run_is_no_comparison(whole_run):
    with pytest.raises(InputError, match="two or more"):
        compare_page([whole_run])


def test_zero_costs_and_nan_do_not_stop_it(fake_run):
    runs = [
        fake_run(metrics={"macs": 0.0, "accuracy": np.nan}),
        fake_run(metrics={"macs": 3.0, "accuracy": 0.5}),
    ]
    assert "Metrics" in compare_page(runs)


def test_a_run_that_was_only_cut_has_no_curve_of_its_own(two):
    assert "Loss, train over epochs, of base." in compare_page(two)
    two[1].history = [{**row, "train_loss": 1.0} for row in two[1].history]
    assert "Loss, train over epochs, of base, small." in compare_page(two)
