from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nervure import nets, prune
from nervure.data.dataset import Dataset
from nervure.errors import InputError
from nervure.observe.crossgram import CrossGramResult, Window, patches
from nervure.prune.recover import Repair, recover
from nervure.prune.recover import pairs as home
from nervure.prune.recover.kernel_estimation import GRID, KernelEstimation, best_ridge

Make = Callable[..., nn.Module]
Noise = Callable[..., Dataset]
KEPT = [0, 2, 3, 6]


class Joined(nn.Module):
    """A network of nobody's table: two branches joined, a sum, a layer called twice, and a bare product."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(2, 8, 3, padding=1), nn.Conv2d(2, 3, 1)
        self.norm = nn.BatchNorm2d(11)
        self.join = nn.Conv2d(11, 5, 3, stride=2)
        self.twice = nn.Conv2d(5, 5, 1)
        self.out = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        joined = torch.cat([self.left(x), self.right(x) * 2], 1)
        value = torch.relu(self.join(torch.relu(self.norm(joined))))
        value = value + self.twice(torch.relu(self.twice(value)))
        return self.out(value.mean((2, 3)))


def combine(producer: nn.Module) -> None:
    """Make the units outside KEPT combinations of those inside."""
    draw = torch.Generator().manual_seed(5)
    weight = producer.weight.data  # type: ignore[union-attr, operator]
    gone = [unit for unit in range(len(weight)) if unit not in KEPT]
    mix = torch.randn(len(gone), len(KEPT), generator=draw)
    weight[gone] = (mix @ weight[KEPT].flatten(1)).view_as(weight[gone])
    if producer.bias is not None:
        producer.bias.data[gone] = mix @ producer.bias.data[KEPT]  # type: ignore[union-attr, operator]


CASES: dict[str, tuple[tuple[int, ...], Callable[[], nn.Module], int]] = {
    "3x3": ((2, 6, 6), lambda: nn.Conv2d(8, 5, 3, padding=1), 1),
    "stride 2, no padding, no bias": ((2, 7, 7), lambda: nn.Conv2d(8, 5, 3, stride=2, bias=False), 1),
    "1x1": ((2, 6, 6), lambda: nn.Conv2d(8, 5, 1), 1),
    "dilated, circular": ((2, 6, 6), lambda: nn.Conv2d(8, 5, 3, padding=2, dilation=2, padding_mode="circular"), 1),
    "oblong": ((2, 6, 9), lambda: nn.Conv2d(8, 5, (1, 3), stride=(1, 2), padding=(0, 1)), 1),
    "one axis": ((2, 12), lambda: nn.Conv1d(8, 5, 5, stride=3, padding=2), 1),
    "flattened": ((2, 5, 5), lambda: nn.Sequential(nn.Flatten(), nn.Linear(200, 5)), 25),
}


@pytest.mark.parametrize("positions", [None, 20])
@pytest.mark.parametrize("case", CASES)
def test_exact_where_survivors_can_say_it_all(
    case: str, positions: int | None, seeded: Make, thinned: Make, noise: Noise
) -> None:
    shape, make, spread = CASES[case]
    first = (nn.Conv1d if len(shape) == 2 else nn.Conv2d)(2, 8, 1)
    net = seeded(lambda: nn.Sequential(first, make()))
    combine(first)
    places = [unit * spread + at for unit in KEPT for at in range(spread)]
    reader = "1.1" if spread > 1 else "1"
    small = thinned(net, [("0", "out", KEPT), (reader, "in", places)])
    ds = noise(*shape, n=200)
    with torch.no_grad():
        _check_exact(net, small, recover(small, net, ds, ridge=1e-8, positions=positions), shape)


def _check_exact(net: nn.Module, small: nn.Module, fixed: nn.Module, shape: tuple[int, ...]) -> None:
    x = torch.randn(4, *shape, generator=torch.Generator().manual_seed(9))
    scale = float(net(x).abs().max())
    assert float((small(x) - net(x)).abs().max()) > 0.05 * scale
    torch.testing.assert_close(fixed(x), net(x), atol=1e-4 * scale, rtol=0)


def test_exact_for_linear_and_grouped(seeded: Make, thinned: Make, noise: Noise) -> None:
    net = seeded(lambda: nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 4)))
    combine(net[0])  # type: ignore[index]
    fixed = recover(thinned(net, [("0", "out", KEPT), ("1", "in", KEPT)]), net, noise(6), ridge=1e-8)
    x = torch.randn(5, 6)
    torch.testing.assert_close(fixed(x), net(x), atol=1e-4, rtol=1e-4)
    # Units 0 to 3 and 4 to 7 are read apart, so each half must be said by its own survivors.
    net = seeded(lambda: nn.Sequential(nn.Conv2d(2, 8, 1), nn.Conv2d(8, 6, 3, groups=2)))
    weight, bias = net[0].weight.data, net[0].bias.data  # type: ignore[index]
    for gone, (one, two) in {1: (0, 2), 3: (0, 2), 5: (4, 7), 6: (4, 7)}.items():
        weight[gone], bias[gone] = weight[one] - 2 * weight[two], bias[one] - 2 * bias[two]
    kept = [0, 2, 4, 7]
    fixed = recover(thinned(net, [("0", "out", kept), ("1", "in", kept)]), net, noise(2, 6, 6), ridge=1e-8)
    x = torch.randn(5, 2, 6, 6)
    torch.testing.assert_close(fixed(x), net(x), atol=1e-4, rtol=1e-4)


class TestNothingToRepair:
    def test_uncut(self, seeded: Make, noise: Noise) -> None:
        net = seeded(lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4)))
        told: list[Repair] = []
        same = recover(net, net, noise(6), tell=told.append)
        assert not told
        assert all(torch.equal(a, b) for a, b in zip(same.parameters(), net.parameters(), strict=True))

    def test_units_that_were_dead(self, seeded: Make, thinned: Make, noise: Noise) -> None:
        net = seeded(lambda: nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3)))
        for unit in (1, 4, 5, 7):
            net[0].weight.data[unit] = net[0].bias.data[unit] = 0  # type: ignore[index]
        small = thinned(net, [("0", "out", KEPT), ("2", "in", KEPT)])
        for ridge in (1e-8, 1e-3, "hold-out"):
            fixed = recover(small, net, noise(2, 7, 7), kept={"0": KEPT}, ridge=ridge)
            torch.testing.assert_close(fixed.state_dict(), small.state_dict(), atol=1e-5, rtol=0)


def test_published_takes_the_steps_of_the_thesis(seeded: Make, thinned: Make, noise: Noise) -> None:
    net = seeded(lambda: nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3)))
    small, ds = thinned(net, [("0", "out", KEPT), ("2", "in", KEPT)]), noise(2, 8, 8)
    found = recover(small, net, ds, variant="published", steps=5, tolerance=0.0)
    images = ds.batch(ds.indices("train")).x
    with torch.no_grad():
        x, y, weight = torch.relu(small[0](images)), net(images), small[2].weight.detach().clone()  # type: ignore[index]
        p = patches(x, Window.of(small[2])).flatten(0, 1)  # type: ignore[index]
        rate = float(torch.linalg.eigvalsh(p.double().T @ p.double())[-1])
        for _ in range(5):
            lack = torch.nn.functional.conv2d(x, weight, small[2].bias) - y  # type: ignore[index]
            weight -= torch.nn.grad.conv2d_weight(x, weight.shape, lack) / rate
    torch.testing.assert_close(found[2].weight.detach(), weight, atol=1e-5, rtol=1e-4)  # type: ignore[index]
    assert torch.equal(found[2].bias, small[2].bias)  # type: ignore[index]


def test_the_hold_out_decides(seeded: Make, thinned: Make, noise: Noise) -> None:
    net = seeded(lambda: nn.Sequential(nn.Linear(10, 60), nn.ReLU(), nn.Linear(60, 5)))
    kept = list(range(0, 60, 2))
    small = thinned(net, [("0", "out", kept), ("2", "in", kept)])
    chosen = {}
    for n in (4000, 40):
        told: list[Repair] = []
        fixed = recover(small, net, noise(10, n=n), samples=n, kept={"0": kept}, tell=told.append)
        chosen[n] = told[0].ridge
        assert chosen[n] in GRID
    # Little data asks for a stronger pull.
    assert chosen[40] > chosen[4000]  # type: ignore[operator]
    # The ridge once known, all samples are fitted, those held out too.
    whole = recover(small, net, noise(10, n=40), samples=40, kept={"0": kept}, ridge=chosen[40])
    torch.testing.assert_close(fixed.state_dict(), whole.state_dict(), rtol=0, atol=1e-6)


def test_the_search_ends_where_the_error_grows() -> None:
    def fits() -> Iterator[list[tuple[Tensor, None]]]:
        for weight in (3.0, 2.0, 2.5):  # the held-out rows ask for 2
            yield [(torch.tensor([[weight]]), None)]
        raise AssertionError("looked too far")

    one = torch.ones(1, dtype=torch.float64)
    held = CrossGramResult(one[:, None], 2 * one[:, None], one, 2 * one, 4 * one, 1)
    assert best_ridge([held], fits()) == GRID[1]


def test_few_samples_leave_what_they_cannot_say(seeded: Make, thinned: Make, noise: Noise) -> None:
    net = seeded(lambda: nn.Sequential(nn.Linear(40, 60), nn.ReLU(), nn.Linear(60, 5)))
    kept = list(range(0, 60, 2))
    small = thinned(net, [("0", "out", kept), ("2", "in", kept)])
    fixed = recover(small, net, noise(40, n=10), ridge=1e-3, kept={"0": kept})
    change = (fixed[2].weight - small[2].weight).detach().clone()  # type: ignore[index]
    assert 1e-3 < float(change.norm()) < float(small[2].weight.detach().norm())  # type: ignore[index]
    told: list[Repair] = []
    recover(small, net, noise(40, n=3), samples=3, tell=told.append)
    assert told[0].ridge == 0.05


class TestAnyNetwork:
    def test_joined_and_called_twice(self, seeded: Make, noise: Noise) -> None:
        net, ds = seeded(Joined), noise(2, 9, 9, n=120)
        plan = prune.plan(net, ds, "l1", prune.Target(keep=0.5), shortcuts=False)
        small = plan.apply(net)
        told: list[Repair] = []
        fixed = recover(small, net, ds, kept=plan, tell=told.append)
        assert [one.layer for one in told] == ["join"]
        x = ds.batch(range(40)).x
        with torch.no_grad():
            assert float((fixed(x) - net(x)).norm()) < 0.8 * float((small(x) - net(x)).norm())

    def test_layer_called_twice_is_fitted_to_both_calls(self, seeded: Make, thinned: Make, noise: Noise) -> None:
        class Twice(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.a, self.b, self.read = nn.Linear(4, 8), nn.Linear(4, 8), nn.Linear(8, 3)

            def forward(self, x: Tensor) -> Tensor:
                return self.read(self.a(x)) - self.read(torch.relu(self.b(x)))

        net = seeded(Twice)
        small = thinned(net, [("a", "out", KEPT), ("b", "out", KEPT), ("read", "in", KEPT)])
        told: list[Repair] = []
        ds = noise(4, n=80)
        fixed = recover(small, net, ds, ridge=1e-9, tell=told.append)
        assert told[0].rows == 160
        x = ds.batch(range(80)).x
        with torch.no_grad():
            inputs = torch.cat([small.a(x), torch.relu(small.b(x))])  # type: ignore[operator]
            aims = torch.cat([net.read(net.a(x)), net.read(torch.relu(net.b(x)))])  # type: ignore[operator]
        columns = torch.cat([inputs, torch.ones(160, 1)], 1).double().numpy()
        peer = torch.from_numpy(np.linalg.lstsq(columns, aims.double().numpy(), rcond=None)[0])
        torch.testing.assert_close(fixed.read.weight.detach().double(), peer[:-1].T, atol=1e-4, rtol=1e-3)  # type: ignore[union-attr, operator]

    @pytest.mark.parametrize("shortcuts", [False, True])
    def test_residual(self, shortcuts: bool, noise: Noise) -> None:
        net = nets.build("resnet20", in_shape=(3, 16, 16), classes=5, seed=0).eval()
        ds = noise(3, 16, 16, n=60)
        plan = prune.plan(net, ds, "l1", prune.Target(keep=0.6), shortcuts=shortcuts)
        small = plan.apply(net)
        told: list[Repair] = []
        fixed = recover(small, net, ds, kept=plan, tell=told.append)
        assert len(told) >= 9 and all(one.after <= one.before for one in told)
        x = ds.batch(range(30)).x
        with torch.no_grad():
            assert float((fixed(x) - net(x)).norm()) < float((small(x) - net(x)).norm())
        assert nets.origin.origin_of(fixed) == nets.origin.origin_of(small)

    def test_a_kind_it_cannot_fit_is_named(
        self, seeded: Make, thinned: Make, noise: Noise, caplog: pytest.LogCaptureFixture
    ) -> None:
        net = seeded(lambda: nn.Sequential(nn.Conv3d(1, 8, 1), nn.Conv3d(8, 2, 1)))
        small = thinned(net, [("0", "out", KEPT), ("1", "in", KEPT)])
        with caplog.at_level(logging.WARNING):
            same = recover(small, net, _cubes())
        assert "1 stays as it was cut: kernels of Conv3d" in caplog.text
        torch.testing.assert_close(same.state_dict(), small.state_dict())


def _cubes() -> Dataset:
    x = np.random.default_rng(0).normal(size=(20, 1, 3, 3, 3)).astype(np.float32)
    return Dataset(x, None, "table", "none", splits={"train": np.arange(20)})


class TestPasses:
    @pytest.fixture
    def pair(self, seeded: Make, thinned: Make) -> tuple[nn.Module, nn.Module]:
        net = seeded(
            lambda: nn.Sequential(
                nn.Conv2d(2, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 3, 3)
            )
        )
        cuts = [("0", "out", KEPT), ("1", "through", KEPT), ("3", "in", KEPT), ("3", "out", KEPT), ("5", "in", KEPT)]
        return thinned(net, cuts), net

    def test_without_room_for_targets_it_gives_the_same(
        self, pair: tuple[nn.Module, nn.Module], noise: Noise, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ds = noise(2, 12, 12)
        whole = recover(*pair, ds)
        monkeypatch.setattr(home, "CACHE_BYTES", 0)
        streamed = recover(*pair, ds).state_dict()
        torch.testing.assert_close(streamed, whole.state_dict(), rtol=1e-4, atol=1e-5)
        monkeypatch.setattr(home, "CACHE_BYTES", 1 << 28)
        monkeypatch.setattr(home, "WHOLE_BYTES", 0)
        torch.testing.assert_close(recover(*pair, ds).state_dict(), streamed, rtol=0, atol=0)

    def test_each_layer_reads_what_the_one_before_became(self, pair: tuple[nn.Module, nn.Module], noise: Noise) -> None:
        small, net = pair
        ds = noise(2, 12, 12)
        fixed = recover(small, net, ds, ridge=1e-3, positions=None)
        images = ds.batch(ds.indices("train")).x
        with torch.no_grad():
            x = fixed[:5](images)  # type: ignore[index]
            y = net(images).double()
        p = patches(x, Window.of(small[5])).flatten(0, 1).double()  # type: ignore[index]
        p = torch.cat([p, torch.ones(len(p), 1, dtype=torch.float64)], 1)
        start = torch.cat([small[5].weight.detach().flatten(1), small[5].bias.detach()[:, None]], 1).double()  # type: ignore[index]
        aim = y.flatten(2).transpose(1, 2).flatten(0, 1) - p @ start.T
        pull = torch.eye(p.shape[1], dtype=torch.float64) * 1e-3 * p[:, :-1].square().sum() / (p.shape[1] - 1)
        pull[-1, -1] = 0
        peer = start + torch.linalg.solve(p.T @ p + pull, p.T @ aim).T
        torch.testing.assert_close(fixed[5].weight.detach().flatten(1).double(), peer[:, :-1], atol=1e-5, rtol=1e-4)  # type: ignore[index]

    def test_nothing_that_was_given_changes(self, pair: tuple[nn.Module, nn.Module], noise: Noise) -> None:
        small, net = pair
        small[1].train()  # type: ignore[index]
        before = [{key: value.clone() for key, value in one.state_dict().items()} for one in pair]
        state = torch.get_rng_state()
        fixed = recover(small, net, noise(2, 12, 12))
        for one, was in zip(pair, before, strict=True):
            torch.testing.assert_close(one.state_dict(), was, rtol=0, atol=0)
            assert not any(module._forward_hooks or module._forward_pre_hooks for module in one.modules())
        assert [module.training for module in fixed.modules()] == [module.training for module in small.modules()]
        assert torch.equal(state, torch.get_rng_state())
        torch.testing.assert_close(
            recover(small, net, noise(2, 12, 12)).state_dict(), fixed.state_dict(), rtol=0, atol=0
        )

    def test_labels_play_no_part(self, pair: tuple[nn.Module, nn.Module], noise: Noise) -> None:
        with_them, without = (recover(*pair, noise(2, 12, 12, labels=labels)) for labels in (True, False))
        torch.testing.assert_close(with_them.state_dict(), without.state_dict(), rtol=0, atol=0)

    def test_bias_may_stay(self, pair: tuple[nn.Module, nn.Module], noise: Noise) -> None:
        fixed = recover(*pair, noise(2, 12, 12), bias=False)
        assert torch.equal(fixed[5].bias, pair[0][5].bias)  # type: ignore[index]
        assert not torch.equal(recover(*pair, noise(2, 12, 12))[5].bias, pair[0][5].bias)  # type: ignore[index]

    def test_nan_names_the_layer(self, pair: tuple[nn.Module, nn.Module], noise: Noise) -> None:
        small, net = pair
        ds = noise(2, 12, 12)
        x = ds.x.copy()
        x[3] = float("nan")  # type: ignore[call-overload]
        with pytest.raises(InputError, match="layer '3' reads or gives NaN"):
            recover(small, net, dataclasses.replace(ds, x=x))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ridge": -1.0}, "ridge = -1.0"),
        ({"ridge": "auto"}, "or 'hold-out'"),
        ({"variant": "thesis"}, "give 'corrected' or 'published'"),
        ({"positions": 0}, "positions = 0"),
    ],
)
def test_settings_are_checked(options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        KernelEstimation(**options)  # type: ignore[arg-type]
