"""The state machine of Algorithm 3 against scripted scores, and the widths that follow."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nervure import nets
from nervure.errors import InputError
from nervure.nets.cost import weights
from nervure.prune.training import Cycles, Rules, dense_weights, remaining, shrunk


def played(rules: Rules, scores: Sequence[float]) -> str:
    """A letter an epoch: ``.`` inside a cycle, ``e`` an end without an event, ``P`` an event; ``!`` after a stop."""
    machine, said = Cycles(rules), ""
    for score in scores:
        verdict = machine.after_epoch(score)
        said += ("P" if verdict.prune else "e" if verdict.ends else ".") + "!" * verdict.stop
        assert verdict.ends or not verdict.prune
        if verdict.stop:
            break
    return said


class TestEvents:
    def test_exactly_at_strict_new_bests(self) -> None:
        assert played(Rules(epochs=1), [0.1, 0.2, 0.2, 0.15, 0.3, 0.29]) == "PPeePe"

    def test_a_first_cycle_at_zero_does_not_prune(self) -> None:
        assert played(Rules(epochs=1), [0.0, 0.1]) == "eP"

    def test_the_best_epoch_of_a_cycle_counts_and_never_inside_it(self) -> None:
        assert played(Rules(epochs=3), [0.2, 0.5, 0.1, 0.4, 0.5, 0.3, 0.1, 0.2, 0.6]) == "..P..e..P"

    def test_patience_inside_a_cycle(self) -> None:
        assert played(Rules(epochs=9, patience=2), [0.5, 0.4, 0.4, 0.6, 0.7, 0.7, 0.7]) == "..P...P"

    def test_patience_mode_has_no_cap(self) -> None:
        rules = Rules(epochs=2, mode="patience")
        assert played(rules, [0.1, 0.2, 0.3, 0.4, 0.4, 0.3, 0.1, 0.1, 0.1]) == ".....P..e"

    def test_min_delta_asks_for_more_and_tolerance_for_less(self) -> None:
        assert played(Rules(epochs=1, min_delta=0.1), [0.5, 0.55, 0.7]) == "PeP"
        assert played(Rules(epochs=1, tolerance=0.1), [0.5, 0.45, 0.3, 0.4]) == "PPeP"

    def test_the_best_is_never_lowered(self) -> None:
        machine = Cycles(Rules(epochs=1, tolerance=0.2))
        for score in (0.5, 0.4, 0.35):
            machine.after_epoch(score)
        assert machine.best == 0.5


class TestStops:
    def test_after_so_many_cycles_and_one_more_to_train_what_is_left(self) -> None:
        assert played(Rules(epochs=1, cycles=3), [0.1, 0.2, 0.3, 0.4, 0.5]) == "PPPe!"

    def test_at_once_if_the_last_cycle_did_not_prune(self) -> None:
        assert played(Rules(epochs=1, cycles=3), [0.1, 0.2, 0.2, 0.4]) == "PPe!"

    def test_after_a_stall(self) -> None:
        assert played(Rules(epochs=1, stall=5), [0.5] + [0.4] * 9) == "Peeeee!"
        assert played(Rules(epochs=1, stall=2), [0.5, 0.4, 0.6, 0.5, 0.5]) == "PePee!"

    def test_no_stall_goes_on(self) -> None:
        assert played(Rules(epochs=1, stall=None), [0.5] + [0.4] * 20) == "P" + "e" * 20


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=40), st.integers(1, 4))
def test_events_are_the_running_maxima_of_the_cycles(scores: list[float], epochs: int) -> None:
    machine = Cycles(Rules(epochs=epochs, patience=None, stall=None, cycles=1000))
    events = [machine.after_epoch(score).prune for score in scores]
    tops = [max(scores[at : at + epochs]) for at in range(0, len(scores) - epochs + 1, epochs)]
    expected = [top > max([0.0, *tops[:at]]) for at, top in enumerate(tops)]
    assert events[epochs - 1 :: epochs][: len(tops)] == expected
    assert sum(events) == sum(expected) == machine.events


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30), st.integers(1, 29))
def test_a_machine_goes_on_from_its_state(scores: list[float], cut: int) -> None:
    rules = Rules(epochs=3, patience=2, stall=None)
    whole, first, second = Cycles(rules), Cycles(rules), Cycles(rules)
    verdicts = [whole.after_epoch(score) for score in scores]
    for score in scores[:cut]:
        first.after_epoch(score)
    second.load_state_dict(first.state_dict())
    assert [second.after_epoch(score) for score in scores[cut:]] == verdicts[cut:]


class TestWidths:
    def test_published_counts(self) -> None:
        assert dense_weights((784, 1000, 1000, 1000, 10)) == 2_794_000
        assert dense_weights((3072, 4000, 1000, 4000, 10)) == 20_328_000
        assert shrunk((4000, 1000, 4000), 0.05, 24) == (1162, 286, 1162)
        assert dense_weights((3072, 1162, 286, 1162, 10)) == 4_245_948
        assert dense_weights((784, *shrunk((1000,) * 3, 0.05, 31), 10)) == 234_036

    def test_counts_agree_with_a_network(self) -> None:
        net = nets.build("mlp", in_shape=(784,), classes=10, widths=(30, 20, 30))
        assert weights(net) == dense_weights((784, 30, 20, 30, 10))

    def test_floats_do_not_cost_a_unit(self) -> None:
        assert remaining(100, 0.71) == 29
        assert remaining(20, 0.05) == 19
        assert remaining(1, 0.9) == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (dict(epochs=0), "epochs = 0"),
        (dict(cycles=1.5), "cycles = 1.5"),
        (dict(stall=-1), "stall = -1"),
        (dict(mode="cycle"), "'cap' or 'patience'"),
        (dict(min_delta=-0.1), "min_delta = -0.1"),
        (dict(tolerance=float("nan")), "tolerance = nan"),
        (dict(min_delta=0.1, tolerance=0.1), "give one of them"),
    ],
)
def test_wrong_rules(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Rules(**wrong)  # type: ignore[arg-type]
