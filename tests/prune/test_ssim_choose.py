"""Rules that choose K: spec ssim-kmeans-pruning, 2.5, 3.4 and 8."""

from __future__ import annotations

import numpy as np
import pytest

from nervure import nets, prune
from nervure.errors import InputError
from nervure.prune.criteria import make
from nervure.prune.ssim.choose import PUBLISHED, Scenario, ScoresByK, choose, published
from nervure.prune.ssim.search import search_layer

UNITS = dict(zip((f"conv{i}" for i in range(1, 13)), [64] * 2 + [128] * 2 + [256] * 3 + [512] * 5, strict=True))


def tables() -> dict[str, ScoresByK]:
    """Means that peak at the published K of scenario A; best runs that reach that mean from B's K on, 85 % from C's."""
    made = {}
    for at, (name, n) in enumerate(UNITS.items()):
        a, b, c = (PUBLISHED[scenario][at] for scenario in ("A", "B", "C"))
        k = np.arange(2, n)
        mean = 0.5 - 0.4 * np.abs(k - a) / n
        best = np.where(k >= b, 0.51, np.where(k >= c, 0.43, 0.42))
        made[name] = ScoresByK(k, mean, np.zeros(len(k)), best)
    return made


@pytest.mark.parametrize("scenario", ["A", "B", "C"])
def test_published_lists(scenario: Scenario) -> None:
    found = choose(tables(), UNITS, scenario)
    assert tuple(found.values()) == PUBLISHED[scenario]
    assert published(scenario, list(UNITS)) == found


def test_halves_go_up() -> None:
    """A rate of 64.84 % leaves 22.5 of 64 filters: 23 are kept."""
    assert choose(tables(), UNITS, "B")["conv2"] == 23


def test_the_lenient_rule_touches_only_the_last_quarter() -> None:
    given = tables()
    for name in list(UNITS)[:9]:
        table = given[name]
        given[name] = ScoresByK(table.k, table.mean, table.spread, np.where(table.best < 0.5, 0.43, table.best))
    assert tuple(choose(given, UNITS, "C").values()) == PUBLISHED["C"]


def test_rates_with_an_untried_k_are_left_out() -> None:
    every = ScoresByK(np.arange(2, 16), np.linspace(0, 0.5, 14), np.zeros(14), np.full(14, 0.6))
    some = ScoresByK(np.array([4, 8, 12]), np.array([0.1, 0.5, 0.2]), np.zeros(3), np.full(3, 0.6))
    assert choose({"a": every, "b": some}, {"a": 16, "b": 16}, "B") == {"a": 4, "b": 4}


def test_a_difference_of_three_percent_is_near_and_a_score_just_reached_is_enough() -> None:
    """The second layer holds the rate at 47 of 100; the first, best at 50, then goes down to where it reaches 0.5."""
    k = np.arange(2, 100)
    first = ScoresByK(k, np.where(k == 50, 0.5, 0.1), np.zeros(98), np.where(k >= 20, 0.5, 0.4))
    second = ScoresByK(k, np.where(k == 90, 0.5, 0.1), np.zeros(98), np.where(k >= 47, 0.5, 0.4))
    assert choose({"a": first, "b": second}, {"a": 100, "b": 100}, "B") == {"a": 20, "b": 47}


def test_scores_by_k() -> None:
    table = ScoresByK.of(np.array([5, 3, 5, 3]), np.array([0.2, 0.5, 0.4, 0.5]))
    assert table.k.tolist() == [3, 5]
    np.testing.assert_allclose([table.mean, table.spread, table.best], [[0.5, 0.3], [0, 0.1], [0.5, 0.4]])
    assert (table.natural, table.best_at(5), table.best_at(4), table.smallest(0.45)) == (3, 0.4, -np.inf, 3)


def test_refusals() -> None:
    with pytest.raises(InputError, match="give A, B or C"):
        choose(tables(), UNITS, "D")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="12 layers, not 2"):
        published("A", ["conv1", "conv2"])
    with pytest.raises(InputError, match="no layers"):
        choose({}, {}, "A")
    hopeless = ScoresByK(np.arange(2, 8), np.full(6, 0.5), np.zeros(6), np.full(6, 0.4))
    with pytest.raises(InputError, match="take keep=.natural."):
        choose({"a": hopeless}, {"a": 8}, "B")


@pytest.mark.parametrize(("wish", "scenario"), [("scenario-b", "B"), ("scenario-c", "C")])
def test_a_plan_keeps_what_the_scenario_says(wish: str, scenario: Scenario) -> None:
    net = nets.build("small-cnn", in_shape=(3, 16, 16), classes=4, width=0.25, seed=0)
    criterion = make("ssim-kmeans", 0, {"effort": "full"})
    method = criterion.method  # type: ignore[attr-defined]
    target = prune.Target(keep=wish)  # type: ignore[arg-type]
    plan = prune.plan(net, None, criterion, target, exclude=["classifier"])
    cut = {layer: before for layer, (before, _) in plan.widths.items() if not layer.startswith("classifier")}
    tables = {
        layer: search_layer(layer, net.get_submodule(layer).weight, method, "full").table(method.silhouette)  # type: ignore[arg-type]
        for layer in cut
    }
    assert {layer: plan.widths[layer][1] for layer in cut} == choose(tables, cut, scenario)
    assert prune.Plan.model_validate_json(plan.model_dump_json()).target.keep == wish
