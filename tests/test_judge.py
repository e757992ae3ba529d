"""One pass for all criteria; the best are chosen without hanging on the last bit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from nervure.data import from_arrays
from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.evidence import Curve
from nervure.judge import Criterion, Judgement, Layer, Samples, Wanted, judge, layers_of, rounded, select
from nervure.observe import Site
from nervure.observe.moments import Moments
from nervure.observe.zeros import ZeroFraction


class Counted(nn.Sequential):
    """A network that counts how often it is run."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x)


class Mean(Criterion):
    def wants(self, layer: Layer) -> Mapping[str, Wanted]:
        return {"seen": Moments()}

    def judge(self, layer, weights, results, probe=None) -> Judgement:  # type: ignore[no-untyped-def]
        return Judgement(torch.as_tensor(results["seen"].mean))


class Zeros(Criterion):
    def wants(self, layer: Layer) -> Mapping[str, Wanted]:
        return {"seen": ZeroFraction()}

    def judge(self, layer, weights, results, probe=None) -> Judgement:  # type: ignore[no-untyped-def]
        return Judgement(-torch.as_tensor(results["seen"]).double())


class Size(Criterion):
    """From the weights alone."""

    def judge(self, layer, weights, results, probe=None) -> Judgement:  # type: ignore[no-untyped-def]
        assert not results
        return Judgement(weights["weight"].abs().flatten(1).sum(1))


class Following(Mean):
    """Asks for more once the first results are there, at the network's input."""

    def follow(self, layer: Layer, results: Mapping[str, object]) -> Mapping[str, Wanted]:
        assert set(results) == {"seen"}
        return {"after": (Site("1", "output"), ZeroFraction())} if layer.name == "0" else {}

    def judge(self, layer, weights, results, probe=None) -> Judgement:  # type: ignore[no-untyped-def]
        assert set(results) == ({"seen", "after"} if layer.name == "0" else {"seen"})
        return super().judge(layer, weights, results, probe)


@pytest.fixture
def net() -> Counted:
    torch.manual_seed(0)
    return Counted()


@pytest.fixture
def batches() -> list[Batch]:
    x = torch.randn(20, 4, generator=torch.Generator().manual_seed(1))
    return [Batch(x[at : at + 8], None, torch.arange(at, min(20, at + 8))) for at in (0, 8, 16)]


class TestJudge:
    def test_several_criteria_share_one_pass(self, net: Counted, batches: list[Batch]) -> None:
        verdicts = judge(net, batches, {"mean": Mean(), "again": Mean(), "zeros": Zeros(), "size": Size()})
        assert net.calls == len(batches)
        assert list(verdicts) == ["mean", "again", "zeros", "size"]
        assert all(list(held) == ["0", "2"] for held in verdicts.values())
        x = torch.cat([batch.x for batch in batches])
        with torch.no_grad():
            hidden = net[0](x)
        assert torch.allclose(verdicts["mean"]["0"].scores.float(), hidden.mean(0), atol=1e-6)
        assert torch.equal(verdicts["mean"]["0"].scores, verdicts["again"]["0"].scores)
        assert torch.allclose(verdicts["size"]["2"].scores, net[2].weight.detach().abs().sum(1))

    def test_no_pass_without_a_want(self, net: Counted) -> None:
        def nothing():  # type: ignore[no-untyped-def]
            raise AssertionError("the data was read")
            yield

        assert judge(net, nothing(), {"size": Size()})["size"]["0"].scores.shape == (6,)
        assert net.calls == 0

    def test_a_second_pass_only_for_those_that_follow(self, net: Counted, batches: list[Batch]) -> None:
        judge(net, batches, {"following": Following(), "mean": Mean()})
        assert net.calls == 2 * len(batches)

    def test_an_iterator_serves_one_pass_and_says_so(self, net: Counted, batches: list[Batch]) -> None:
        assert judge(net, iter(batches), {"mean": Mean()})["mean"]["0"].scores.shape == (6,)
        with pytest.raises(InputError, match="give a list or a loader"):
            judge(net, iter(batches), {"following": Following()})

    def test_chosen_layers_alone(self, net: Counted, batches: list[Batch]) -> None:
        assert list(judge(net, batches, {"mean": Mean()}, layers=layers_of(net)[1:])["mean"]) == ["2"]

    def test_what_a_criterion_prepares_is_used(self, net: Counted, batches: list[Batch]) -> None:
        class Prepared(Criterion):
            def prepare(self, net, batches, layers) -> Criterion:  # type: ignore[no-untyped-def]
                return Size()

        found = judge(net, batches, {"one": Prepared()})["one"]["0"].scores
        assert torch.equal(found, judge(net, batches, {"one": Size()})["one"]["0"].scores)

    def test_the_network_is_left_as_it_was(self, net: Counted, batches: list[Batch]) -> None:
        before = {name: value.clone() for name, value in net.state_dict().items()}
        net.train()
        judge(net, batches, {"mean": Mean(), "size": Size()})
        assert net.training
        assert all(not module._forward_hooks for module in net.modules())
        assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())

    def test_a_device_holds_while_judging_and_no_longer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The network does not move here: what is borrowed, and where, is noted."""
        asked: list[object] = []

        @contextlib.contextmanager
        def borrowed(net: nn.Module, device: object = None) -> Iterator[None]:
            asked.append(device)
            yield
            asked.append("back")

        monkeypatch.setattr("nervure.judge.borrowed", borrowed)
        judge(Counted(), [], {"size": Size()}, device="cuda:1")
        judge(Counted(), [], {"size": Size()})
        assert asked == ["cuda:1", "back", None, "back"]


class TestJudgement:
    def test_scores_are_numbers(self) -> None:
        for bad in (float("nan"), float("inf")):
            with pytest.raises(InputError, match="NaN or infinite"):
                Judgement(torch.tensor([1.0, bad]))
        with pytest.raises(InputError, match="one value for each score"):
            Judgement(torch.zeros(3), tiebreak=torch.zeros(2))
        figure = Curve(title="a", alt="b", x=np.arange(2), y=np.zeros((1, 2)))
        assert Judgement(torch.zeros(3), torch.zeros(3), {"why": 1}, lambda stays: (figure,)).evidence == (figure,)


def test_layers_of() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 8, 3)
            self.norm = nn.BatchNorm2d(8)
            self.deep = nn.ModuleDict({"a": nn.Conv1d(4, 5, 3), "b": nn.Sequential(nn.Linear(5, 2))})
            self.volume = nn.Conv3d(1, 9, 1)
            self.up = nn.ConvTranspose2d(8, 3, 2)

    found = layers_of(Net())
    assert [(layer.name, layer.units) for layer in found] == [
        ("stem", 8),
        ("deep.a", 5),
        ("deep.b.0", 2),
        ("volume", 9),
    ]
    assert found[0].seen == Site("stem")
    assert Layer("a", found[0].module, 8, reader=Site("norm")).seen == Site("norm")


def as_written(values: np.ndarray) -> np.ndarray:
    """To five significant digits, by way of decimal text."""
    return np.array([float(f"{value:.4e}") for value in values])


def chosen(scores: np.ndarray, keep: int, tiebreak: np.ndarray | None = None) -> list[int]:
    """The oracle: numpy's lexsort over rounded scores, then the tiebreak, then the position."""
    second = np.zeros(len(scores)) if tiebreak is None else as_written(tiebreak)
    order = np.lexsort((np.arange(len(scores)), -second, -as_written(scores)))
    return sorted(order[:keep].tolist())


# values on a coarse grid tie often; a part in 1e-7 is below what is compared
grid = st.integers(-6, 6).map(lambda value: value * 0.37)
nearly = st.tuples(grid, st.sampled_from([-1e-7, 0.0, 1e-7])).map(lambda pair: pair[0] * (1 + pair[1]))
cases = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        st.lists(nearly, min_size=n, max_size=n), st.lists(grid, min_size=n, max_size=n), st.integers(0, n)
    )
)


class TestSelect:
    @given(cases)
    def test_as_lexsort(self, case: tuple[list[float], list[float], int]) -> None:
        scores, tiebreak, keep = case
        one, two = torch.tensor(scores, dtype=torch.float64), torch.tensor(tiebreak, dtype=torch.float64)
        assert select(one, keep).tolist() == chosen(one.numpy(), keep)
        assert select(one, keep, two).tolist() == chosen(one.numpy(), keep, two.numpy())

    @given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=30), st.data())
    def test_any_numbers(self, values: list[float], more: st.DataObject) -> None:
        keep = more.draw(st.integers(0, len(values)))
        found = select(torch.tensor(values), keep).tolist()
        assert found == sorted(set(found))
        assert len(found) == keep
        kept, lost = as_written(np.array(values))[found], as_written(np.delete(np.array(values), found))
        if keep and len(lost):
            assert kept.min() >= lost.max() - 1e-4 * abs(lost.max())

    @given(st.integers(10_000, 99_999), st.integers(-22, 17), st.sampled_from([-4e-7, 0.0, 4e-7]), st.integers(1, 40))
    def test_equal_digits_are_equal_bits(self, digits: int, power: int, off: float, count: int) -> None:
        written = float(f"{digits}e{power}")
        assert rounded(torch.full((count,), written * (1 + off))).tolist() == [written] * count

    def test_nothing_overflows(self) -> None:
        extreme = [1.7e308, -5e-324, float("inf"), float("-inf"), float("nan"), 1.2345678e-300]
        found = rounded(torch.tensor(extreme, dtype=torch.float64)).tolist()
        assert found[:4] == [1.7e308, 0.0, float("inf"), float("-inf")]
        assert np.isnan(found[4])
        assert found[5] == pytest.approx(1.2346e-300, rel=1e-12)

    @given(st.permutations(range(9)), st.integers(0, 9))
    def test_a_permutation_of_units_permutes_the_choice(self, order: list[int], keep: int) -> None:
        scores = torch.tensor([3.0, -1.0, 0.0, 8.5, 2.25, 1e-9, 7.0, -4.0, 5.0])  # all different
        assert set(np.array(order)[select(scores[order], keep).numpy()]) == set(select(scores, keep).tolist())

    @given(st.floats(1e-6, 1e6))
    def test_scale_changes_nothing(self, scale: float) -> None:
        scores = torch.tensor([0.1, 0.7, 0.4, 0.2, 0.9], dtype=torch.float64)
        assert torch.equal(select(scores * scale, 2), select(scores, 2))

    def test_ties_at_five_significant_digits(self) -> None:
        scores = torch.tensor([1.00000, 1.000001, 1.00010, 0.99999], dtype=torch.float64)
        assert select(scores, 1).tolist() == [2]
        assert select(scores, 2).tolist() == [0, 2]  # the first two count as equal: the earlier one stays
        assert select(scores, 2, torch.tensor([0.0, 1.0, 0.0, 9.0])).tolist() == [1, 2]
        assert select(torch.ones(2), 1, torch.tensor([1.0, 1.0000001])).tolist() == [0]
        assert select(torch.tensor([0.0, -0.0, 0.0]), 2).tolist() == [0, 1]

    def test_too_many(self) -> None:
        for keep in (-1, 4):
            with pytest.raises(InputError, match=f"cannot keep {keep} of 3"):
                select(torch.zeros(3), keep)


def test_looking_for_layers_moves_no_parametrization() -> None:
    net = nn.utils.parametrizations.spectral_norm(nn.Linear(6, 5)).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert [layer.units for layer in layers_of(net)] == [5]
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


class TestSamples:
    def test_they_are_read_again_and_again(self) -> None:
        ds = from_arrays(np.zeros((30, 2), np.float32), np.arange(30) % 2, validation=0, test=0)
        told: list[tuple[int, int]] = []
        samples = Samples(ds, np.arange(20), 8, [torch.zeros(1)], lambda *at: told.append(at))
        assert not samples.read
        assert [len(batch.x) for batch in samples] == [8, 8, 4] == [len(batch.x) for batch in samples]
        assert samples.read and told[:3] == [(8, 20), (16, 20), (20, 20)]
        with pytest.raises(InputError, match="batch = 0"):
            Samples(ds, np.arange(20), 0, [torch.zeros(1)])

    def test_who_reads_on_without_data_is_told(self) -> None:
        samples = Samples(None, np.empty(0, dtype=np.int64), 8, [torch.zeros(1, 2)])
        with pytest.raises(InputError, match="not at weights alone; give data"):
            list(samples)
        assert not samples.read
