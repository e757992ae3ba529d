from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from torch import Tensor
from torch.nn import functional as F

from nervure.errors import InputError
from nervure.observe.crossgram import CrossGramResult, Window, patches
from nervure.prune.recover.estimate import (
    NormalEquations,
    descend,
    gradient,
    largest_eigenvalue,
    merged,
    ridge_path,
)


def problem(rows: int, inputs: int = 6, outputs: int = 3, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Patches, targets with a bias in them, weights and bias to start from."""
    draw = torch.Generator().manual_seed(seed)
    p = torch.randn(rows, inputs, generator=draw) + 0.5
    y = p @ torch.randn(inputs, outputs, generator=draw) + 0.3 * torch.randn(rows, outputs, generator=draw) + 1
    return p, y, torch.randn(outputs, inputs, generator=draw), torch.randn(outputs, generator=draw)


def ridge_solution(
    summed: CrossGramResult, weight: Tensor, bias: Tensor | None, ridge: float, *, free_bias: bool
) -> tuple[Tensor, Tensor | None]:
    return next(ridge_path(summed, weight, bias, [ridge], free_bias=free_bias))


def equations(p: Tensor, y: Tensor) -> CrossGramResult:
    summed = NormalEquations()
    summed.add(p, y)
    return summed.results()[0]


class TestNormalEquations:
    @given(st.lists(st.integers(1, 7), min_size=1, max_size=6), st.sampled_from([1, 2]))
    def test_streamed_is_one_shot(self, sizes: list[int], groups: int) -> None:
        p, y, *_ = problem(sum(sizes), inputs=6, outputs=4)
        streamed = NormalEquations(groups)
        for some_p, some_y in zip(p.split(sizes), y.split(sizes), strict=True):
            streamed.add(some_p, some_y)
        for group, found in enumerate(streamed.results()):
            mine = p.numpy().astype(np.float64)[:, group * 6 // groups : (group + 1) * 6 // groups]
            aim = y.numpy().astype(np.float64)[:, group * 4 // groups : (group + 1) * 4 // groups]
            np.testing.assert_allclose(found.gram, mine.T @ mine, rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(found.cross, mine.T @ aim, rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(found.inputs, mine.sum(0), rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(found.squares, (aim**2).sum(0), rtol=1e-12)
            assert found.count == sum(sizes)

    def test_chunks_do_not_matter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        p, y, *_ = problem(50)
        whole = equations(p, y)
        monkeypatch.setattr(sys.modules[NormalEquations.__module__], "ROWS", 20)
        torch.testing.assert_close(equations(p, y).gram, whole.gram, rtol=1e-12, atol=1e-12)

    def test_merged_is_both(self) -> None:
        p, y, *_ = problem(50)
        both = merged(equations(p[:20], y[:20]), equations(p[20:], y[20:]))
        torch.testing.assert_close(both.cross, equations(p, y).cross, rtol=1e-12, atol=1e-12)
        assert both.count == 50

    def test_nothing_seen(self) -> None:
        with pytest.raises(InputError, match="no row"):
            NormalEquations().results()


class TestRidge:
    @pytest.mark.parametrize("free_bias", [True, False])
    def test_equals_scikit_learn(self, free_bias: bool) -> None:
        p, y, weight, bias = problem(40)
        found, moved = ridge_solution(equations(p, y), weight, bias, 0.05, free_bias=free_bias)
        pull = 0.05 * float(p.double().square().sum()) / p.shape[1]
        lack = (y - p @ weight.T - bias).double().numpy()
        peer = Ridge(alpha=pull, fit_intercept=free_bias).fit(p.double().numpy(), lack)
        np.testing.assert_allclose(found - weight, peer.coef_, rtol=1e-5, atol=1e-6)
        assert moved is not None
        np.testing.assert_allclose(moved - bias, peer.intercept_ if free_bias else np.zeros(3), atol=1e-5)

    def test_a_path_is_its_points(self) -> None:
        p, y, weight, bias = problem(40)
        summed = equations(p, y)
        ridges = [1e-3, 1e-1]
        for ridge, found in zip(ridges, ridge_path(summed, weight, bias, ridges, free_bias=True), strict=True):
            torch.testing.assert_close(found, ridge_solution(summed, weight, bias, ridge, free_bias=True))

    def test_without_pull_it_is_least_squares(self) -> None:
        p, y, weight, bias = problem(40)
        found, moved = ridge_solution(equations(p, y), weight, bias, 0.0, free_bias=True)
        columns = np.concatenate([p.numpy(), np.ones((40, 1))], axis=1).astype(np.float64)
        peer = np.linalg.lstsq(columns, y.double().numpy(), rcond=None)[0]
        assert moved is not None
        np.testing.assert_allclose(torch.cat([found, moved[:, None]], 1).T, peer, atol=1e-9)

    def test_what_is_right_stays(self) -> None:
        p, _, weight, bias = problem(40)
        summed = equations(p.double(), p.double() @ weight.double().T + bias.double())
        found, moved = ridge_solution(summed, weight, bias, 1e-3, free_bias=True)
        assert moved is not None
        torch.testing.assert_close(found, weight.double(), atol=1e-9, rtol=0)
        torch.testing.assert_close(moved, bias.double(), atol=1e-9, rtol=0)

    @pytest.mark.parametrize("ridge", [0.0, 1e-3])
    def test_with_too_few_rows_it_stays_near_the_start(self, ridge: float) -> None:
        p, y, weight, _ = problem(4, inputs=10)
        found, _ = ridge_solution(equations(p, y), weight, None, ridge, free_bias=False)
        change = found - weight.double()
        seen = np.linalg.svd(p.double().numpy(), full_matrices=True)[2]
        assert float(change.abs().max()) > 1e-2
        np.testing.assert_allclose(change.numpy() @ seen[4:].T, 0, atol=1e-8)
        if not ridge:
            peer = np.linalg.pinv(p.double().numpy()) @ (y - p @ weight.T).double().numpy()
            np.testing.assert_allclose(change.T, peer, atol=1e-5)

    @given(st.integers(1, 30), st.floats(0, 10), st.booleans(), st.integers(0, 50))
    def test_the_error_never_grows(self, rows: int, ridge: float, free_bias: bool, seed: int) -> None:
        p, y, weight, bias = problem(rows, seed=seed)
        summed = equations(p, y)
        found, moved = ridge_solution(summed, weight, bias, ridge, free_bias=free_bias)
        before = float(summed.error(weight, bias).sum())
        assert float(summed.error(found, moved).sum()) <= before * (1 + 1e-9) + 1e-7

    def test_an_input_that_is_always_zero_keeps_its_weight(self) -> None:
        p, y, weight, _ = problem(40)
        p[:, 2] = 0
        for ridge in (0.0, 1e-2):
            found, _ = ridge_solution(equations(p, y), weight, None, ridge, free_bias=False)
            torch.testing.assert_close(found[:, 2], weight[:, 2].double(), atol=1e-9, rtol=0)


class TestGradientForm:
    @pytest.mark.parametrize(
        ("kernel", "stride", "padding", "groups", "bias"),
        [(3, 1, 1, 1, True), (3, 2, 0, 1, False), (3, 2, 1, 2, True), (1, 1, 0, 1, False), (1, 2, 0, 1, True)],
    )
    def test_equals_autograd(self, kernel: int, stride: int, padding: int, groups: int, bias: bool) -> None:
        draw = torch.Generator().manual_seed(1)
        layer = torch.nn.Conv2d(4, 6, kernel, stride, padding, groups=groups, bias=bias).double()
        x = torch.randn(5, 4, 7, 7, generator=draw, dtype=torch.float64)
        out = layer(x)
        y = torch.randn(out.shape, generator=draw, dtype=torch.float64)
        rows = y.numel() // 6
        (0.5 / rows * (out - y).square().sum()).backward()
        summed = NormalEquations(groups)
        summed.add(patches(x, Window.of(layer)).flatten(0, 1), y.flatten(2).transpose(1, 2).flatten(0, 1))
        weights = layer.weight.detach().flatten(1).chunk(groups)
        biases = [None] * groups if layer.bias is None else layer.bias.detach().chunk(groups)
        found = torch.cat([gradient(*one) for one in zip(summed.results(), weights, biases, strict=True)])
        assert layer.weight.grad is not None
        torch.testing.assert_close(found, layer.weight.grad.flatten(1), rtol=1e-9, atol=1e-12)

    def test_steps_are_those_of_convolutions(self) -> None:
        draw = torch.Generator().manual_seed(2)
        x = torch.randn(6, 3, 6, 6, generator=draw, dtype=torch.float64)
        y = torch.randn(6, 4, 6, 6, generator=draw, dtype=torch.float64)
        start = torch.randn(4, 3, 3, 3, generator=draw, dtype=torch.float64)
        layer = torch.nn.Conv2d(3, 4, 3, padding=1, bias=False)
        p = patches(x, Window.of(layer)).flatten(0, 1)
        found = descend(
            equations(p, y.flatten(2).transpose(1, 2).flatten(0, 1)), start.flatten(1), None, steps=7, tolerance=0
        )
        rate = float(np.linalg.eigvalsh((p.T @ p).numpy())[-1])
        peer = start
        for _ in range(7):
            peer = peer - torch.nn.grad.conv2d_weight(x, peer.shape, F.conv2d(x, peer, padding=1) - y, padding=1) / rate
        torch.testing.assert_close(found.view_as(peer), peer, rtol=1e-3, atol=1e-4)

    def test_comes_to_the_closed_form(self) -> None:
        p, y, weight, bias = problem(400)
        p = p - 0.5
        summed = equations(p, y)
        closed, _ = ridge_solution(summed, weight, bias, 1e-8, free_bias=False)
        found = descend(summed, weight, bias, steps=200, tolerance=0)
        assert float((found - closed).norm() / closed.norm()) < 1e-3

    def test_ends_when_little_is_won(self) -> None:
        p, y, weight, _ = problem(400)
        summed = equations(p, y)
        early, late = (
            float(summed.error(descend(summed, weight, None, steps=500, tolerance=t)).sum()) for t in (0.5, 0)
        )
        assert late < early <= float(summed.error(weight).sum())

    def test_largest_eigenvalue(self) -> None:
        p, *_ = problem(100, inputs=20)
        assert largest_eigenvalue(p.double().T @ p.double()) == pytest.approx(
            float(np.linalg.eigvalsh((p.double().T @ p.double()).numpy())[-1]), rel=1e-6
        )
        assert largest_eigenvalue(torch.zeros(3, 3, dtype=torch.float64)) == 0.0
