"""Rows of the two networks belong together, whatever networks make of their inputs on the way."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nervure.data.dataset import Dataset
from nervure.prune.recover import Repair, recover
from nervure.prune.recover import pairs as home

Make = Callable[..., nn.Module]
Noise = Callable[..., Dataset]
KEPT = [0, 2, 3, 6]


class Equalised(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * 3, self.bias)


class Causal(nn.Conv1d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (self.kernel_size[0] - 1, 0)))


class Doubled(nn.Linear):
    """As its weights say, but for what it is doubled by."""

    def __init__(self, *sizes: int) -> None:
        super().__init__(*sizes)
        self.register_forward_hook(lambda module, args, out: 2 * out)


class Rewritten(nn.Linear):
    """What its weights say, in other words."""

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.T + self.bias


class TestLayersOfOnesOwn:
    @pytest.mark.parametrize("positions", [None, 20])
    @pytest.mark.parametrize(
        ("shape", "make"),
        [
            ((6,), lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), Equalised(8, 4))),
            ((6,), lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), Doubled(8, 4))),
            ((2, 9), lambda: nn.Sequential(nn.Conv1d(2, 8, 1), nn.ReLU(), Causal(8, 4, 3))),
            ((2, 9), lambda: nn.Sequential(nn.Conv1d(2, 8, 1), nn.ReLU(), Causal(8, 4, 3, padding=1))),
        ],
    )
    def test_stay_as_they_were_cut(
        self, shape: tuple[int, ...], make: Make, positions: int | None, seeded: Make, thinned: Make, noise: Noise,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        net = seeded(make)
        small = thinned(net, [("0", "out", KEPT), ("2", "in", KEPT)])
        told: list[Repair] = []
        with caplog.at_level(logging.WARNING):
            same = recover(small, net, noise(*shape), positions=positions, tell=told.append)
        assert not told
        assert f"2 stays as it was cut: this {type(net[2]).__name__} gives" in caplog.text  # type: ignore[index]
        torch.testing.assert_close(same.state_dict(), small.state_dict(), rtol=0, atol=0)

    def test_are_estimated_where_they_do_what_their_weights_say(
        self, seeded: Make, thinned: Make, noise: Noise
    ) -> None:
        net = seeded(lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), Rewritten(8, 4)))
        small = thinned(net, [("0", "out", KEPT), ("2", "in", KEPT)])
        told: list[Repair] = []
        recover(small, net, noise(6), tell=told.append)
        assert [one.layer for one in told] == ["2"]


class Folded(nn.Module):
    """Steps of all samples as rows, those of one step together."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Linear(3, 8), nn.Linear(8, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        n, steps, units = x.shape
        rows = self.b(torch.relu(self.a(x.transpose(0, 1).reshape(steps * n, units))))
        return self.head(rows.reshape(steps, n, -1).mean(0))


class StepsFirst(nn.Module):
    """Steps on the first axis, as recurrent networks have them."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Linear(3, 8), nn.Linear(8, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.b(torch.relu(self.a(x.transpose(0, 1)))).mean(0))


class Encoder(nn.Module):
    """PyTorch's own transformer layer, which wants steps first unless told otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.head = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.a(x.transpose(0, 1)).mean(0))


class TestSamplesOnAnotherAxis:
    @pytest.mark.parametrize("steps", [6, 16, 80])  # 80 samples are read in batches of 16, or at once
    @pytest.mark.parametrize("make", [Folded, StepsFirst, Encoder])
    def test_rows_meet_those_of_their_own_sample(
        self, make: type[nn.Module], steps: int, seeded: Make, thinned: Make, noise: Noise,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        net = seeded(make)
        one, two = ("a.linear1", "a.linear2") if make is Encoder else ("a", "b")
        small = thinned(net, [(one, "out", KEPT), (two, "in", KEPT)])
        ds = noise(steps, 4 if make is Encoder else 3)
        whole = recover(small, net, ds)
        monkeypatch.setattr(home, "WHOLE_BYTES", 0)
        torch.testing.assert_close(whole.state_dict(), recover(small, net, ds).state_dict(), rtol=1e-4, atol=1e-5)
        x = ds.batch(ds.indices("train")).x
        with torch.no_grad():
            before, after = (float((each(x) - net(x)).square().mean()) for each in (small, whole))
        assert after < 0.7 * before


class Strange(nn.Module):
    """A module whose output is no tensor of units."""

    def __init__(self, made: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.made = made

    def forward(self, x: Tensor) -> object:
        return self.made(x)


@pytest.mark.parametrize(
    "made",
    [
        lambda x: x.mean(), lambda x: None, lambda x: (), lambda x: (x.sum(), [x, None]), lambda x: x.to(torch.cfloat),
        lambda x: {"x": x}, lambda x: nn.utils.rnn.pack_padded_sequence(x[:, None], [1] * len(x), batch_first=True),
        lambda x: "words",
    ],
)  # fmt: skip
def test_what_other_modules_give_plays_no_part(
    made: Callable[[Tensor], object], seeded: Make, thinned: Make, noise: Noise
) -> None:
    class Beside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.beside, self.a, self.b = Strange(made), nn.Linear(3, 8), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            self.beside(x)
            return self.b(torch.relu(self.a(x)))

    net = seeded(Beside)
    small = thinned(net, [("a", "out", KEPT), ("b", "in", KEPT)])
    told: list[Repair] = []
    recover(small, net, noise(3), tell=told.append)
    assert [one.layer for one in told] == ["b"] and told[0].after < told[0].before
