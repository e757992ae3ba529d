import importlib.metadata
import sys
import types
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from nervure.errors import InputError
from nervure.registry import Row, Table, check_settings, nearest, resolve

ROWS = {
    "add": ("operator:add", "a + b", "arithmetic"),
    "multiply": ("operator:mul", "a * b", "arithmetic"),
    "join": ("os.path:join", "paths", "the library"),
}


@pytest.fixture
def table():
    return Table("sum", ROWS, group="nervure.test-sums")


@pytest.fixture
def installed(monkeypatch):
    """Sets what other packages registered, as ``(name, target, package or None)``."""

    def install(*points):
        def entry_points(*, group):
            found = []
            for name, target, package in points:
                point = types.SimpleNamespace(name=name, value=target, group=group, dist=None)
                if package:
                    point.dist = types.SimpleNamespace(name=package, version="1.2")
                found.append(point)
            return found if group == "nervure.test-sums" else []

        monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)

    return install


class TestNames:
    def test_names_keep_the_order_of_the_table(self, table):
        assert table.names() == ("add", "multiply", "join")

    def test_listing_imports_nothing(self):
        missing = Table("sum", {"far": ("no_such_package.at_all:thing", "a line", "")}, group="nervure.test-sums")
        assert missing.names() == ("far",)
        assert missing.row("far") == Row("no_such_package.at_all:thing", "a line", "")
        with pytest.raises(ImportError):
            missing.get("far")

    def test_get_imports_one_file(self, table, monkeypatch, tmp_path):
        (tmp_path / "nervure_test_only.py").write_text("value = 7\n")
        monkeypatch.syspath_prepend(tmp_path)
        one = Table("value", {"seven": ("nervure_test_only:value", "", "")}, group="g")
        assert "nervure_test_only" not in sys.modules
        assert one.get("seven") == 7
        monkeypatch.delitem(sys.modules, "nervure_test_only")

    def test_membership(self, table):
        assert "add" in table
        assert "ad" not in table
        assert 3 not in table


class TestMissedNames:
    def test_the_nearest_name_and_the_list(self, table):
        with pytest.raises(InputError, match=r"unknown sum 'multipy'; did you mean 'multiply'\? There are: add, mul"):
            table.get("multipy")

    def test_nothing_near_gives_the_list_alone(self, table):
        with pytest.raises(InputError) as caught:
            table.row("zzz")
        assert str(caught.value) == "unknown sum 'zzz'; there are: add, multiply, join"

    @given(st.text(max_size=20))
    def test_any_name_is_answered_in_one_kind_of_error(self, name):
        table = Table("sum", ROWS, group="nervure.none")
        if name not in ROWS:
            with pytest.raises(InputError):
                table.get(name)

    @given(st.sampled_from(sorted(ROWS)), st.data())
    def test_a_letter_too_few_still_finds_a_long_name(self, name, data):
        at = data.draw(st.integers(0, len(name) - 1))
        if len(name) > 3:
            assert f"did you mean {name!r}" in nearest(name[:at] + name[at + 1 :], tuple(ROWS))


class TestOtherPackages:
    def test_their_rows_come_after_ours_by_name(self, table, installed):
        installed(("zeta", "operator:sub", "stranger"), ("alpha", "operator:neg", "stranger"))
        assert table.names() == ("add", "multiply", "join", "alpha", "zeta")
        assert table.get("alpha")(3) == -3
        assert table.row("zeta") == Row("operator:sub", "from stranger 1.2", "stranger 1.2")

    def test_their_rows_never_replace_ours(self, table, installed):
        installed(("add", "operator:sub", "stranger"))
        assert table.get("add")(2, 3) == 5

    def test_a_point_without_a_distribution(self, table, installed):
        installed(("loose", "operator:neg", None))
        assert table.row("loose").source == "an installed package"

    def test_another_group_is_not_asked(self, installed):
        installed(("alpha", "operator:neg", "stranger"))
        assert "alpha" not in Table("other", ROWS, group="nervure.others")

    def test_packages_are_asked_once(self, table, installed):
        assert "alpha" not in table
        installed(("alpha", "operator:neg", "stranger"))
        assert "alpha" not in table


class TestResolve:
    def test_nested_attributes(self):
        import os

        assert resolve("os:path.join") is os.path.join

    def test_a_missing_attribute_says_so(self):
        with pytest.raises(AttributeError, match="nothing_here"):
            resolve("os:nothing_here")


def made(
    x, times: int = 1, *, widths: tuple[int, ...] = (), mode: Literal["a", "b"] = "a", net: nn.Module | None = None
):
    if times < 0:
        raise ValueError("times is negative")
    if net == 3:
        raise TypeError("no network")
    return x * times


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"time": 2}, "sum 'made' has no setting 'time'; did you mean 'times'?"),
        ({"x": 2}, "sum 'made' has no setting 'x'"),
        ({"times": "2"}, "sum 'made': times = '2'; give a valid integer"),
        ({"times": True}, "sum 'made': times = True; give a valid integer"),
        ({"widths": [1, "b"]}, r"sum 'made': widths = \[1, 'b'\]; give a valid integer"),
        ({"mode": "c"}, "sum 'made': mode = 'c'; give 'a' or 'b'"),
        ({"net": 3}, "sum 'made' cannot be made with net=3: no network"),
        ({"times": -1}, "sum 'made' cannot be made with times=-1: times is negative"),
    ],
)
def test_settings_are_checked_before_anything_is_made(monkeypatch, table, settings, said):
    monkeypatch.setattr(table, "get", lambda name: made)
    with pytest.raises(InputError, match=said) as error:
        table.make("made", settings, 3)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("settings", [{}, {"times": 2}, {"widths": [1, 2]}, {"mode": "b"}, {"net": nn.Identity()}])
def test_settings_of_their_kind_are_taken(monkeypatch, table, settings):
    monkeypatch.setattr(table, "get", lambda name: made)
    assert table.make("made", settings, 3) == 3 * settings.get("times", 1)


def test_a_factory_that_says_nothing_of_its_settings_takes_any():
    def free(x, **more): ...

    check_settings("free", free, {"anything": object()}, given=1)
    check_settings("print", print, {})


def test_an_annotation_that_is_not_there_is_not_held_against_a_value():
    def late(x: "NotImported" = None, y: int = 0): ...  # noqa: F821

    check_settings("late", late, {"x": 1, "y": "no integer"})


def made_with(rate: float = 0.5, seed: int = 0) -> tuple[float, int]:
    return rate, seed


def test_a_seed_goes_where_it_is_taken_and_not_before_a_given_one():
    rows = {"drawn": (f"{__name__}:made_with", "", ""), "plain": ("builtins:complex", "", "")}
    table = Table("thing", rows, group="nervure.test-things")
    assert table.seeded("drawn", 3, {"rate": 0.1}) == (0.1, 3)
    assert table.seeded("drawn", 3, {"seed": 4}) == (0.5, 4)
    assert table.seeded("plain", 3) == 0


def test_what_was_made_is_found_in_the_table():
    table = Table("number", {"whole": ("builtins:int", "", "")}, group="nervure.test-numbers")
    assert table.name_of(3) == "whole" and table.name_of("3") == "str"
