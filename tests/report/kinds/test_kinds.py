"""What each kind of drawing shows of its numbers."""

import json
import re

import numpy as np
import plotly.graph_objects as go
import pytest

from nervure.evidence import Bars, Curve, Flow, Images, Matrix, Scatter, Table
from nervure.report import draw
from nervure.report.kinds import matrix, scatter


def cells(html, tag="td"):
    return [re.sub(r"<[^>]+>", "", one) for one in re.findall(rf"<{tag}\b[^>]*>(.*?)</{tag}>", html)]


class TestCurve:
    def test_each_line_has_its_colour_and_last_value(self):
        html = draw(Curve(title="", alt="", x=[0, 1, 2], y=[[3, 2, 1], [4, np.nan, np.nan]], labels=["a", "b"]))
        assert "a <b>1</b>" in html
        assert "b <b>4</b>" in html
        assert "stroke: var(--c1)" in html

    def test_spread_is_a_band(self):
        lines = {"x": [0, 1, 2], "y": [[3, 2, 1]]}
        assert "opacity: 0.18" in draw(Curve(title="", alt="", **lines, spread=[[1, 1, 1]]))
        assert "opacity: 0.18" not in draw(Curve(title="", alt="", **lines))

    def test_marks_are_dashed_lines_and_those_with_a_label_say_it(self):
        plain = {"title": "", "alt": "", "x": [0, 1, 2], "y": [[3, 2, 1]]}
        marked = draw(Curve(**plain, marks=[1, 2], mark_labels=["best <1>"]))
        assert "best &lt;1&gt;" in marked
        assert (marked.count("stroke-dasharray"), draw(Curve(**plain)).count("stroke-dasharray")) == (2, 0)

    def test_a_logarithmic_axis_has_plain_ticks(self):
        html = draw(Curve(title="", alt="", x=[0, 1, 2], y=[[1, 0.1, 0.01]], log_y=True))
        assert {"1", "0.1", "0.01"} <= set(cells(html, "text"))

    def test_many_points_are_simplified(self):
        x = np.linspace(0, 1, 20_000)
        assert len(draw(Curve(title="", alt="", x=x, y=[np.sin(x * 9)]))) < 20_000


class TestMatrix:
    def test_counts_are_whole_and_shares_have_two_places(self):
        assert cells(draw(Matrix(title="", alt="", values=[[12.0, 0.0]], counts=True)))[1:] == ["12", "0"]
        assert cells(draw(Matrix(title="", alt="", values=[[0.5, 0.25]])))[1:] == ["0.50", "0.25"]

    def test_the_strongest_confusions_of_many_classes_are_named(self):
        values = np.eye(100) * 90
        values[3, 7], values[50, 2] = 12, 5
        names = [f"class {at}" for at in range(100)]
        html = draw(Matrix(title="", alt="", values=values, rows=names, columns=names, counts=True))
        assert cells(html) == ["class 3", "class 7", "12", "class 50", "class 2", "5"]

    def test_a_hundred_classes_stay_small_in_bytes(self):
        values = np.random.default_rng(0).poisson(1.0, (100, 100))
        assert len(draw(Matrix(title="", alt="", values=values, counts=True))) < 40_000

    def test_a_huge_matrix_is_drawn_as_means(self):
        html = draw(Matrix(title="", alt="", values=np.random.default_rng(0).random((2500, 1200))))
        assert "Every 3 by 2 cells" in html
        assert len(html) < 2_000_000

    def test_rows_of_a_slim_matrix_stay_apart(self):
        values = np.zeros((3, 4096))
        values[0] = 1
        values[1, :5], values[2] = np.nan, -1
        drawn, block = matrix._shrunk(values)
        assert block == (1, 5)
        assert drawn.shape == (3, 820)
        assert np.isnan(drawn[1, 0])
        assert (drawn[0] == 1).all() and (drawn[1, 1:] == 0).all() and (drawn[2] == -1).all()

    def test_a_cell_without_a_number_stays_out_of_the_mean(self):
        values = np.ones((2, 1500))
        values[0, 0], values[1, 0] = np.inf, -np.inf
        assert (matrix._shrunk(values)[0] == 1).all()

    def test_the_scale_is_that_of_what_is_drawn(self):
        assert "<i></i><span>0.5</span>" in draw(Matrix(title="", alt="", values=np.eye(2000)))


class TestBars:
    def test_bars_of_one_row_are_coloured_by_their_group(self) -> None:
        given = Bars(title="", alt="", values=[[3, 2, 1]], groups=[0, 1, 1], series=["stays", "is cut"])
        html = draw(given)
        assert "stays" in html
        assert "is cut" in html
        assert (html.count("fill: var(--c0)"), html.count("fill: var(--c1)")) == (1, 2)

    def test_whiskers_only_with_spread(self):
        assert "var(--ink)" in draw(Bars(title="", alt="", values=[[1, 2]], spread=[[0.1, 0.2]]))
        assert "var(--ink)" not in draw(Bars(title="", alt="", values=[[1, 2]]))

    def test_more_than_can_be_shown_is_said(self):
        assert "The first 120 of 500 bars" in draw(Bars(title="", alt="", values=[np.arange(500)]))

    def test_one_bar_a_value(self):
        html = draw(Bars(title="", alt="", values=[[1, 2, 3], [3, 2, np.nan]]))
        assert html.count("fill: var(--c0)") == 3
        assert html.count("fill: var(--c1)") == 2


class TestFlow:
    def test_both_widths_are_written(self):
        words = cells(draw(Flow(title="", alt="", steps=["conv1", "conv2"], before=[64, 128], after=[32, 96])), "text")
        assert {"conv1", "conv2", "64 → 32", "128 → 96"} <= set(words)

    def test_sixty_layers_each_have_a_row(self):
        words = cells(draw(Flow(title="", alt="", steps=[f"l{at}" for at in range(60)], before=np.arange(60))), "text")
        assert {"l0", "l37", "l59"} <= set(words)


class TestImages:
    def test_small_pictures_stay_sharp_and_framed_ones_are_marked(self):
        pictures = np.zeros((4, 1, 8, 8), np.uint8)
        html = draw(Images(title="", alt="", pictures=pictures, framed=[False, True, True, False]))
        assert "nv-pixels" in html
        assert html.count("nv-framed") == 2
        assert "nv-pixels" not in draw(Images(title="", alt="", pictures=np.zeros((1, 3, 96, 96), np.uint8)))

    def test_one_image_for_all(self):
        pictures = np.random.default_rng(0).integers(0, 255, (50, 3, 32, 32), dtype=np.uint8)
        html = draw(Images(title="", alt="", pictures=pictures))
        assert html.count("base64,") == 1
        assert html.count("<i ") == 50

    def test_more_than_can_be_shown_is_said(self):
        assert "The first 240 of 300" in draw(Images(title="", alt="", pictures=np.zeros((300, 1, 4, 4), np.uint8)))


class TestTable:
    def test_numbers_to_the_right(self):
        html = draw(Table(title="", alt="", columns=["layer", "MACs"], rows=[["conv1", 1200], ["fc", None]]))
        assert '<th scope="col">layer</th><th scope="col" class="num">MACs</th>' in html
        assert cells(html) == ["conv1", "1 200", "fc", "–"]

    def test_differences_count_as_numbers(self):
        html = draw(Table(title="", alt="", columns=["d"], rows=[["−1.2 %"], ["+0.40 points"], ["±0"]]))
        assert 'class="num"' in html

    def test_more_than_can_be_shown_is_said(self):
        html = draw(Table(title="", alt="", columns=["n"], rows=[[at] for at in range(401)]))
        assert "The first 400 of 401 rows" in html


class TestScatter:
    def payload(self, html):
        return json.loads(re.search(r'<script type="application/json"[^>]*>(.*?)</script>', html, re.S)[1])

    def lively(self, n, **more):
        points = np.random.default_rng(0).normal(size=(n, 2))
        return Scatter(title="", alt="", points=points, groups=np.arange(n) % 3, labels=["x", "y", "<z>"], **more)

    def test_without_anything_to_hover_over_it_stays_still(self):
        html = draw(self.lively(50))
        assert "<script" not in html
        assert html.count("stroke: var(--c") == 3

    def test_hover_texts_name_group_and_sample(self):
        data = self.payload(draw(self.lively(6, hover=[f"no. {at} </script>" for at in range(6)])))
        assert data["text"][2] == "<z>\nno. 2 </script>"
        assert "pictures" not in data

    def test_plotly_takes_what_the_script_gives_it(self):
        data = self.payload(draw(self.lively(6, hover=["a"] * 6)))
        trace = go.Scatter(x=data["x"], y=data["y"], mode="markers", hoverinfo="none")
        assert len(trace.x) == 6
        assert set(data["colour"]) == {"--c0", "--c1", "--c2"}

    def test_a_line_joins_points_that_are_there(self):
        figure = self.lively(6, hover=["a"] * 6, joined=np.array([3, 1, 9]))
        html = draw(figure)
        assert "stroke-dasharray" in html
        line = self.payload(html)["line"]
        assert np.allclose(np.array(line).T, figure.points[[3, 1]], atol=1e-5)
        assert "stroke-dasharray" not in draw(self.lively(6))

    def test_pictures_are_bounded_and_it_is_said(self):
        n = scatter.MOST_PICTURES + 400
        html = draw(self.lively(n, thumbnails=np.zeros((n, 1, 4, 4), np.uint8)))
        spots = self.payload(html)["pictures"]["spots"]
        assert sum(spot is not None for spot in spots) == scatter.MOST_PICTURES
        assert f"{scatter.MOST_PICTURES} of {n} points show their picture" in html

    def test_large_pictures_are_fewer(self):
        html = draw(self.lively(300, thumbnails=np.zeros((300, 3, 96, 96), np.uint8)))
        data = self.payload(html)["pictures"]
        assert sum(spot is not None for spot in data["spots"]) == scatter.MOST_BYTES // (3 * 64 * 64)
        assert max(data["shape"]) == 64

    def test_many_points_are_bounded_and_it_is_said(self):
        n = scatter.MOST_POINTS + 5
        html = draw(self.lively(n, hover=["a"] * n))
        assert f"{scatter.MOST_POINTS} of {n} points are drawn" in html
        assert len(self.payload(html)["x"]) == scatter.MOST_HOVERING
        assert len(html) < 1_500_000

    @pytest.mark.parametrize("groups", [30, 12])
    def test_more_groups_than_colours_are_numbered(self, groups):
        points = np.random.default_rng(0).normal(size=(200, 2))
        html = draw(Scatter(title="", alt="", points=points, groups=np.arange(200) % groups))
        assert str(groups - 1) in cells(html, "text")
        lively = draw(Scatter(title="", alt="", points=points, groups=np.arange(200) % groups, hover=["a"] * 200))
        data = json.loads(re.search(r'<script type="application/json"[^>]*>(.*?)</script>', lively)[1])
        assert [one[2] for one in data["numbers"]] == [str(group) for group in range(groups)]
        assert ("groups: colours repeat" in html) == (groups > 24)
