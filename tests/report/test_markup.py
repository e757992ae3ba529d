import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nervure.evidence import Curve, Figure, Matrix
from nervure.report import markup


class TestEscape:
    @given(st.text())
    def test_nothing_that_markup_is_made_of_is_left(self, text):
        assert not set("<>\"'") & set(markup.escape(text))

    def test_control_characters_are_dropped(self):
        assert markup.escape("a\x00b\x1bc\ud800d\ne") == "abcd\ne"


class TestNumber:
    @pytest.mark.parametrize(
        ("value", "words"),
        [
            (None, "–"), (math.nan, "–"), (math.inf, "∞"), (-math.inf, "−∞"), (True, "yes"), (0, "0"),
            (1234567, "1 234 567"), (0.123456, "0.1235"), (12345.6, "12 346"), (1e-5, "1e-05"),
            (np.float32(0.5), "0.5"), (np.int64(4096), "4 096"), ("conv1", "conv1"),
        ],
    )  # fmt: skip
    def test_as_people_read_them(self, value, words):
        assert markup.number(value) == words

    @given(st.integers(-(10**15), 10**15))
    def test_whole_numbers_keep_every_digit(self, value):
        assert int(markup.number(value).replace(" ", "")) == value

    @given(st.floats(1e-3, 1e14))
    def test_compact_numbers_are_right_to_one_percent(self, value):
        words = markup.compact(value)
        factor = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}.get(words[-1], 1.0)
        assert float(words.rstrip("kMGT")) * factor == pytest.approx(value, rel=0.01)
        assert len(words) <= 8

    @given(st.text(st.characters(categories=["L", "N"])), st.integers(3, 30))
    def test_shortened_names_fit(self, text, length):
        assert len(markup.shorten(text, length)) <= length
        if len(text) <= length:
            assert markup.shorten(text, length) == text


class TestReal:
    @pytest.mark.parametrize("values", [None, [], [[]], 3.0, [1, 2], [[1, 2]], np.zeros((2, 3, 4)), [["a"]]])
    @pytest.mark.parametrize("ndim", [1, 2])
    def test_always_float64_with_enough_axes(self, values, ndim):
        array = markup.real(values, ndim)
        assert array.dtype == np.float64
        assert array.ndim >= ndim

    def test_infinities_are_gaps(self):
        assert np.isnan(markup.real([np.inf, -np.inf], 1)).all()


class TestIdentity:
    def test_every_part_of_a_figure_counts(self):
        base = {"title": "t", "alt": "a", "values": np.eye(2), "rows": ["x", "y"]}
        changes = [
            {"title": "u"},
            {"alt": "b"},
            {"values": np.eye(2, dtype=np.float32)},
            {"rows": ["y", "x"]},
        ]
        figures = [Matrix(**base), *(Matrix(**(base | change)) for change in changes)]
        assert len({markup.identity(figure) for figure in figures}) == 5

    def test_an_id_starts_with_a_letter(self):
        assert markup.identity(Curve(title="", alt="", x=[1], y=[[1]]))[0].isalpha()

    def test_outside_data_counts_in_any_order(self):
        one = Figure(title="", alt="", kind="k", data={"a": [1], "b": [2]})
        two = Figure(title="", alt="", kind="k", data={"b": [2], "a": [1]})
        assert markup.identity(one) == markup.identity(two)


def test_a_legend_escapes_and_repeats_the_dashes_of_lines():
    html = markup.legend([("--c0", "<b>", ""), ("--c1", "two", "3")], "line")
    assert "&lt;b&gt;" in html
    assert html.count("nv-d1") == 1
    assert markup.legend([]) == ""
