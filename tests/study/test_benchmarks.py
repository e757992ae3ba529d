"""What benchmarks count and write, apart from the clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import util
from pathlib import Path
from types import ModuleType

import pytest
import torch

from nervure import nets
from nervure.study.statistics import paired

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def benchmark(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A benchmark's module; what benchmarks share lies beside it."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    spec = util.spec_from_file_location(f"benchmark_{name}", BENCHMARKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def sparsify(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return benchmark("sparsify", monkeypatch)


def test_operations_of_isparse_are_told_in_both_kinds_of_passes(sparsify: ModuleType) -> None:
    """A layer of n edges takes 2 n forward; back it takes as much for its weights, and again for its inputs."""
    net = nets.build("mlp", in_shape=(8,), classes=4, widths=[16])
    found = sparsify.passes(net, 0.5, torch.ones(1, 8))
    first, second = 8 * 16, 16 * 4
    assert found["forward_flops"] == 2 * (first + second)
    assert found["one_pass_flops"] == 2 * (2 * first + 3 * second)
    assert found["forward_passes"] == found["ours_flops"] / found["forward_flops"]
    assert found["passes"] == found["ours_flops"] / found["one_pass_flops"] < found["forward_passes"]


def test_isparse_by_default_looks_at_all_samples_that_it_is_given(
    sparsify: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sparsify, "SHAPE", (1, 8, 8))
    net = nets.build("mlp", in_shape=(1, 8, 8), classes=10, widths=[16])
    mask = sparsify.by_samples(net, 0.5, sparsify.images(300))
    assert (mask.about.samples, mask.about.settings["initial"], mask.about.ranking) == (300, "inf-fs", "global")


def test_ratios_are_taken_within_a_round(sparsify: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"now": 0.0}

    def taking(seconds: float) -> Callable[[], None]:
        def call() -> None:
            sparsify.COPIES.append(0.0)
            clock["now"] += seconds

        return call

    monkeypatch.setattr(sparsify.time, "perf_counter", lambda: clock["now"])
    turns = sparsify.Turns({"ours": taking(1.0), "torch": taking(4.0)}, 3)
    assert {name: len(one) for name, one in turns.seconds.items()} == {"ours": 3, "torch": 3}
    assert turns.ratios() == {"ours": {"low": 0.25, "median": 0.25, "high": 0.25}}


@pytest.mark.parametrize(
    ("ours", "told"),
    [
        ([2.0, 3.0, 4.0], {"points": 1.0, "p": None}),
        ([1.0, 2.0, 3.0], {"points": 0.0, "p": None}),
    ],
)
def test_differences_without_spread_have_no_p(
    ours: list[float], told: Mapping[str, float | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    prune_compare = benchmark("prune_compare", monkeypatch)
    assert prune_compare.told(paired(ours, [1.0, 2.0, 3.0])) == told
    assert 0 < prune_compare.told(paired([*ours, 9.0], [1.0, 2.0, 3.0, 4.0]))["p"] < 1
