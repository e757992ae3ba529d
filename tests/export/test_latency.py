from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from torch import nn

from nervure.errors import InputError
from nervure.export import Deployed, Timing, compare_latency, latency_table, measure


@pytest.fixture
def no_compiler(monkeypatch):
    """torch.compile takes half a minute when first used; what it gives is tested once, as slow."""

    def refuse(*args, **kwargs):
        raise RuntimeError("no working C++ compiler\nlong story")

    monkeypatch.setattr(torch, "compile", refuse)


def test_timing_agrees_with_numpy():
    seconds = tuple(np.random.default_rng(0).gamma(2.0, size=31).tolist())
    timing = Timing(seconds)
    assert timing.runs == 31
    assert timing.median == pytest.approx(np.median(seconds))
    assert timing.spread == pytest.approx(tuple(np.quantile(seconds, [0.25, 0.75])))
    assert Timing(tuple(3 * s for s in seconds)).ratio(timing) == pytest.approx(3)


def test_candidates_take_turns_in_every_round():
    calls = []
    timings = measure({name: lambda name=name: calls.append(name) for name in "abc"}, runs=30, warmup=2)
    rounds = [calls[i : i + 3] for i in range(0, len(calls), 3)]
    assert len(rounds) == 32
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert {one[0] for one in rounds} == {"a", "b", "c"}
    assert [timing.runs for timing in timings.values()] == [30, 30, 30]


def test_a_slow_candidate_is_slow_even_while_the_machine_drifts():
    state = {"drift": 0.0}

    def work(cost):
        def call():
            state["drift"] += 2e-6
            time.sleep(cost + state["drift"])

        return call

    timings = measure({"slow": work(2e-3), "fast": work(5e-4)}, runs=30, warmup=1)
    assert timings["slow"].median > timings["fast"].median
    assert timings["slow"].ratio(timings["fast"]) > 1.5


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"runs": 29}, "at least 30"), ({"batch": 0}, "batch = 0"), ({"threads": 0}, "threads = 0")],
)
def test_bad_settings(changes, said):
    with pytest.raises(InputError, match=said):
        compare_latency({"net": nn.Linear(2, 2)}, torch.rand(1, 2), **changes)


def test_an_unknown_engine():
    with pytest.raises(InputError, match="there are: eager, compiled, onnxruntime"):
        latency_table(nn.Linear(2, 2), torch.rand(1, 2), engines=["tpu"])


def test_modules_are_timed_at_batch_and_threads_and_put_back(series_case):
    seen = []

    class Watch(nn.Module):
        def forward(self, x, mask=None):
            seen.append((len(x), len(mask), torch.get_num_threads(), self.training, torch.is_inference_mode_enabled()))
            return x

    before = torch.get_num_threads()
    net = Watch().train()
    compare_latency({"net": net}, series_case.x, mask=series_case.mask, batch=8, threads=before + 1)
    assert set(seen) == {(8, 8, before + 1, False, True)}
    assert net.training
    assert torch.get_num_threads() == before


def test_threads_and_mode_are_put_back_after_a_failure():
    before = torch.get_num_threads()
    net = nn.Linear(2, 2).train()
    with pytest.raises(InputError, match="net does not run on this example"):
        compare_latency({"net": net}, torch.rand(1, 5), threads=before + 1)
    assert net.training
    assert torch.get_num_threads() == before


def test_a_smaller_network_is_faster():
    nets = {"wide": nn.Linear(2000, 2000), "narrow": nn.Linear(2000, 20)}
    timings = compare_latency(nets, torch.rand(1, 2000), batch=16)
    assert timings["narrow"].ratio(timings["wide"]) < 0.5


def test_the_table_states_what_was_measured(no_compiler, written):
    case = written["image"]
    net = Deployed(case.net, case.preprocessing, "classification")
    table = latency_table(net, case.x, batch=4, threads=1, onnx_path=case.files["onnx"].path)
    rows = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert list(rows) == ["eager", "compiled", "onnxruntime"]
    for name in ("eager", "onnxruntime"):
        row = rows[name]
        assert (row["batch"], row["threads"], row["runs"], row["note"]) == (4, 1, 30, "")
        assert 0 < row["lower quartile ms"] <= row["median ms"] <= row["upper quartile ms"]
        assert row["samples/s"] == pytest.approx(4 / (row["median ms"] / 1e3))
    assert rows["compiled"]["median ms"] is None
    assert rows["compiled"]["note"] == "failed: RuntimeError: no working C++ compiler"
    assert "compiled not measured" in table.alt


def test_a_file_of_another_network_is_noted(written, nets):
    case = written["image"]
    other = Deployed(nets.Small(), case.preprocessing, "classification")
    table = latency_table(other, case.x, engines=["onnxruntime"], onnx_path=case.files["onnx"].path)
    assert "differs from eager" in table.rows[0][-1]


def test_a_missing_file_is_a_row_with_a_note(tmp_path):
    net = nn.Linear(2, 2)
    table = latency_table(net, torch.rand(1, 2), engines=["eager", "onnxruntime"], onnx_path=tmp_path / "a.onnx")
    assert table.rows[0][3] is not None
    assert table.rows[1][3] is None
    assert "a.onnx" in table.rows[1][-1]


# torch.compile starts its C++ compiler, 20 s on one core.
@pytest.mark.slow
def test_the_three_engines_run_one_network(series_case):
    table = latency_table(series_case.net, series_case.x, mask=series_case.mask, batch=3)
    assert [(row[0], row[-2], row[-1]) for row in table.rows] == [
        ("eager", 30, ""),
        ("compiled", 30, ""),
        ("onnxruntime", 30, ""),
    ]
