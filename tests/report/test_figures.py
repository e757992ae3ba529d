import dataclasses
import functools
import importlib.metadata
import json
import re
import sys
import types
from html.parser import HTMLParser

import numpy as np
import pytest

from nervure.errors import InputError
from nervure.evidence import Bars, Curve, Figure, Flow, Images, Matrix, Scatter, Table
from nervure.report import draw
from nervure.report import figures as table

EVIL = "<script>alert(1)</script>\"'><b onmouseover=x>$"
PICTURES = np.random.default_rng(0).integers(0, 255, (6, 1, 8, 8), dtype=np.uint8)
SAMPLES = {
    "curve": Curve(
        title="t",
        alt="a",
        x=[0, 1, 2],
        y=[[1, 2, 3], [3, 2, 1]],
        labels=["one", "two"],
        x_label="x",
        y_label="y",
    ),
    "matrix": Matrix(title="t", alt="a", values=np.eye(3), rows="abc", columns="abc", x_label="x", y_label="y"),
    "large matrix": Matrix(
        title="t", alt="a", values=np.eye(30), rows=["r"] * 30, columns=["c"] * 30, x_label="x", y_label="y"
    ),
    "bars": Bars(
        title="t",
        alt="a",
        values=[[1, 2], [2, 1]],
        spread=[[0.1, 0.2]] * 2,
        bars=["x", "y"],
        series=["p", "q"],
        y_label="y",
    ),
    "lying bars": Bars(title="t", alt="a", values=[np.arange(20)], bars=["long name"] * 20, y_label="y"),
    "scatter": Scatter(
        title="t", alt="a", points=np.eye(2), groups=[0, 1], labels=["x", "y"], x_label="x", y_label="y"
    ),
    "lively scatter": Scatter(
        title="t",
        alt="a",
        points=np.eye(6)[:, :2],
        groups=[0, 1] * 3,
        labels=["x", "y"],
        hover=["h"] * 6,
        thumbnails=PICTURES,
        x_label="x",
        y_label="y",
    ),
    "images": Images(title="t", alt="a", pictures=PICTURES, captions=["c"] * 6, framed=[True] + [False] * 5),
    "table": Table(title="t", alt="a", columns=["x", "y"], rows=[["r", 1], ["s", None]]),
    "flow": Flow(title="t", alt="a", steps=["x", "y"], before=[4, 8], after=[2, 8], y_label="filters"),
    "outside": Figure(title="t", alt="a", kind="rose", data={"winds": np.arange(3)}, notes={"key": "text"}),
}
VOID = {"img", "source", "br", "input", "meta", "link", "use", "path"}


class Tags(HTMLParser):
    """Collects tags and texts, and checks that what opens closes."""

    def __init__(self, html):
        super().__init__()
        self.open, self.seen, self.names, self.texts, self.ids = [], set(), set(), [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.names |= {name for name, _ in attrs}
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.add(tag)
        self.names |= {name for name, _ in attrs}
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@functools.cache
def drawn(name):
    return draw(SAMPLES[name])


def evil(figure):
    changes = {}
    for field in dataclasses.fields(figure):
        value = getattr(figure, field.name)
        if isinstance(value, str) and field.name != "kind":
            changes[field.name] = EVIL
        elif isinstance(value, tuple) and value and isinstance(value[0], str):
            changes[field.name] = [EVIL] * len(value)
    if isinstance(figure, Table):
        changes["rows"] = [[EVIL, 1]]
    if type(figure) is Figure:
        changes |= {"kind": EVIL, "notes": {EVIL: EVIL}, "data": {EVIL: np.array([EVIL])}}
    return dataclasses.replace(figure, **changes)


@pytest.mark.parametrize("name", SAMPLES)
class TestEveryKind:
    def test_well_formed_titled_and_named_for_those_who_cannot_see(self, name):
        html = draw(dataclasses.replace(SAMPLES[name], title="The title", alt="What it says"))
        tags = Tags(html)
        assert "The title" in tags.texts
        assert "figcaption" in tags.seen
        assert re.search(r'(aria-label="|alt="|nv-unseen">)What it says', html)
        assert len(tags.ids) == len(set(tags.ids))

    def test_texts_never_become_markup(self, name):
        plain, tags = Tags(drawn(name)), Tags(draw(evil(SAMPLES[name])))
        assert tags.seen <= plain.seen
        assert tags.names <= plain.names | {"title"}
        assert "onmouseover" not in tags.names

    def test_the_same_bytes_each_time(self, name):
        assert draw(SAMPLES[name]) == drawn(name)

    def test_nothing_points_outside(self, name):
        html = drawn(name).replace("http://www.w3.org/2000/svg", "").replace("http://www.w3.org/1999/xlink", "")
        assert "http" not in html
        assert "//" not in re.sub(r"base64,[\w+/=]+", "", html)

    def test_no_colour_is_baked_in(self, name):
        assert re.findall(r"(?:fill|stroke|color|background): ?#\w+", drawn(name)) == []


NAN = np.nan
GAPS = {
    "curve": [
        Curve(title="", alt="", x=[0, 1, 2], y=[[NAN, 1, NAN], [NAN] * 3], spread=[[NAN, 1, 2]] * 2),
        Curve(title="", alt="", x=[0, 1, 2], y=[[-1, 0, 5]], log_y=True),
        Curve(title="", alt="", x=[0, 1], y=[[0, -1]], log_y=True),
        Curve(title="", alt="", x=[0, NAN, np.inf], y=[[1, np.inf, 2]]),
        Curve(title="", alt="", x=[], y=[]),
        Curve(title="", alt="", x=[], y=[[]]),
        Curve(title="", alt="", x=[3], y=[[2]]),
        Curve(title="", alt="", x=[0, 1], y=[1, 2]),
        Curve(title="", alt="", x=[0], y=[[1, 2, 3]], labels=["too", "many"]),
        Curve(title="", alt="", x=[0, 1], y=[[1e300, -1e300]]),
        Curve(title="", alt="", x=np.arange(2), y=np.ones((25, 2)), labels=list(map(str, range(25)))),
    ],
    "matrix": [
        Matrix(title="", alt="", values=[[NAN, 1], [0, -1]]),
        Matrix(title="", alt="", values=np.full((3, 3), NAN)),
        Matrix(title="", alt="", values=np.zeros((0, 0))),
        Matrix(title="", alt="", values=[]),
        Matrix(title="", alt="", values=np.zeros((40, 40)), counts=True),
        Matrix(title="", alt="", values=np.where(np.eye(40) > 0, NAN, -1.0), counts=True),
        Matrix(title="", alt="", values=[[1.5, np.inf]], counts=True, rows=["a", "b", "c"]),
    ],
    "bars": [
        Bars(title="", alt="", values=[[NAN, 1]], spread=[[1, NAN]]),
        Bars(title="", alt="", values=[[NAN]]),
        Bars(title="", alt="", values=[]),
        Bars(title="", alt="", values=[1, 2]),
        Bars(title="", alt="", values=[[-1, 1]], bars=["only one"]),
        Bars(title="", alt="", values=[np.arange(30)], spread=[[1, 2]]),
    ],
    "scatter": [
        Scatter(title="", alt="", points=[[NAN, 1], [1, 1]], groups=[0, -1], hover=["a"]),
        Scatter(title="", alt="", points=np.full((2, 2), NAN)),
        Scatter(title="", alt="", points=[]),
        Scatter(title="", alt="", points=np.zeros((0, 2)), thumbnails=np.zeros((0, 1, 2, 2), np.uint8)),
        Scatter(title="", alt="", points=[[1, 1]], thumbnails=PICTURES),
        Scatter(title="", alt="", points=[[1, 1], [1, 1]], groups=[NAN, 90], labels=["x"]),
    ],
    "images": [
        Images(title="", alt="", pictures=np.zeros((0, 1, 8, 8), np.uint8)),
        Images(title="", alt="", pictures=[]),
        Images(title="", alt="", pictures=np.full((2, 1, 3, 3), NAN), captions=["one"], framed=[True], columns=0),
    ],
    "table": [
        Table(title="", alt="", columns=["a"], rows=[[NAN], [np.inf], [None]]),
        Table(title="", alt="", columns=[], rows=[]),
        Table(title="", alt="", columns=["a"], rows=[]),
        Table(title="", alt="", columns=["a"], rows=[[1, 2, 3], []]),
    ],
    "flow": [
        Flow(title="", alt="", steps=["a", "b"], before=[NAN, 1], after=[1, NAN]),
        Flow(title="", alt="", steps=[], before=[]),
        Flow(title="", alt="", steps=["a"], before=[0], after=[0]),
        Flow(title="", alt="", before=[1, 2], after=[1]),
        Flow(title="", alt="", before=np.arange(30)),
    ],
}


@pytest.mark.parametrize("figure", [figure for kind in GAPS.values() for figure in kind], ids=lambda one: one.kind)
def test_gaps_and_empty_arrays_draw_something(figure):
    html = draw(figure)
    Tags(html)
    assert re.search(r"<svg|<table|<picture|nv-empty|nv-grid", html)
    assert not re.search(r"\bnan\b", html.lower())


class TestOutsideKinds:
    @pytest.fixture
    def install(self, monkeypatch):
        def install(function):
            module = types.ModuleType("nervure_test_rose")
            module.draw = function
            monkeypatch.setitem(sys.modules, "nervure_test_rose", module)
            point = types.SimpleNamespace(name="rose", value="nervure_test_rose:draw", dist=None)

            def entry_points(*, group):
                return [point] if group == "nervure.figures" else []

            monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
            monkeypatch.delitem(table.__dict__, "rows", raising=False)

        yield install
        table.__dict__.pop("rows", None)

    ROSE = Figure(
        title="Wind",
        alt="mostly west",
        kind="rose",
        data={"speed": np.array([1.0, 4.0])},
        notes={"unit": "m/s"},
    )

    def test_an_entry_point_draws(self, install):
        install(lambda figure: f"<svg data-sum='{figure.data['speed'].sum()}'></svg>")
        html = draw(self.ROSE)
        assert "data-sum='5.0'" in html
        assert 'aria-label="mostly west"' in html
        assert "<figcaption>Wind</figcaption>" in html

    def test_nobody_draws_it(self):
        html = draw(self.ROSE)
        assert "No installed package draws a figure of kind &#x27;rose&#x27;" in html
        assert "(2,)" in html
        assert "<dt>unit</dt><dd>m/s</dd>" in html

    def test_a_failing_one_does_not_cost_the_page(self, install, caplog):
        def fail(figure):
            raise RuntimeError("<no wind>")

        install(fail)
        html = draw(self.ROSE)
        assert "Could not be drawn: RuntimeError: &lt;no wind&gt;" in html
        assert "(2,)" in html
        assert "could not be drawn" in caplog.text

    @pytest.mark.parametrize(
        "figure",
        [
            Curve(title="T", alt="Words.", x=[0, 1], y=[[1e308, -1e308]]),
            Bars(title="T", alt="Words.", values=[[1, 2]], groups=[0.0, np.nan]),
        ],
        ids=lambda one: one.kind,
    )
    def test_nor_does_one_of_ours(self, figure):
        html = draw(figure)
        Tags(html)
        assert "Could not be drawn: ValueError: " in html
        assert "<figcaption>T</figcaption>" in html
        assert "<p>Words.</p>" in html

    def test_ours_are_not_replaced(self):
        assert table.names()[:7] == ("curve", "matrix", "bars", "scatter", "images", "table", "flow")

    @pytest.mark.parametrize("name", ["curve", "matrix", "bars", "scatter", "images", "table", "flow"])
    def test_every_row_resolves(self, name):
        assert callable(table.get(name))
        assert table.row(name).line


STRANGE = "a\x00\udcffb"


@pytest.mark.parametrize(
    "figure",
    [
        Curve(title=STRANGE, alt="", x=[0, 1], y=[[1, 2]], marks=[0.5], mark_labels=[STRANGE], x_label=STRANGE),
        dataclasses.replace(SAMPLES["matrix"], rows=[STRANGE] * 3, columns=[STRANGE] * 3, x_label=STRANGE),
        Bars(title=STRANGE, alt="", values=[[1, 2]], bars=[STRANGE] * 2, y_label=STRANGE),
        Bars(title=STRANGE, alt="", values=[np.arange(20)], bars=[STRANGE] * 20, y_label=STRANGE),
        Scatter(title=STRANGE, alt="", points=np.eye(2), x_label=STRANGE, y_label=STRANGE, hover=[STRANGE] * 2),
        Flow(title=STRANGE, alt="", steps=[STRANGE], before=[4], y_label=STRANGE),
    ],
    ids=lambda one: one.kind,
)
def test_characters_that_no_page_may_hold_are_dropped(figure):
    html = draw(figure)
    assert re.search(r"<svg|<table", html)
    assert "Could not be drawn" not in html
    assert "\x00" not in html
    assert html.encode("utf-8")
    assert html.count("ab") >= 2


class TestInteractiveScatter:
    @staticmethod
    def places(points, **changes):
        html = draw(Scatter(title="t", alt="", points=points, hover=["h"] * len(points), **changes))
        data = json.loads(re.search(r'id="\w+-data">(.*?)</script>', html)[1])
        return np.array([data["x"], data["y"]]).T, np.array(data["line"]).T

    @pytest.mark.parametrize("size", [2e-300, 2e-6, 1.0, 1e9, 1e300])
    @pytest.mark.parametrize("middle", [0.0, 1.0])
    def test_points_keep_their_places_at_every_size(self, size, middle):
        points = np.random.default_rng(0).uniform(-1, 1, (50, 2)) * size + middle
        found, line = self.places(points, joined=[3, 7])
        exact = np.spacing(np.abs(points).max()) / 2
        assert np.abs(found - points).max() <= max(1e-5 * size, exact)
        assert np.array_equal(line, found[[3, 7]])

    def test_one_place(self):
        found, _ = self.places(np.full((3, 2), 0.123456789))
        assert np.allclose(found, 0.123456789, atol=1e-5)


def test_a_scatter_of_another_shape_is_refused():
    with pytest.raises(InputError, match=r"\(4, 3\); give \(n, 2\)"):
        draw(Scatter(title="t", alt="", points=np.zeros((4, 3))))
