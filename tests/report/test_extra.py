import sys

import numpy as np
import pytest

from nervure.errors import MissingExtra
from nervure.evidence import Curve, Matrix, Scatter
from nervure.report import draw, page
from nervure.report.page import plotly_script


@pytest.fixture
def without(monkeypatch):
    def hide(*packages):
        for package in packages:
            monkeypatch.setitem(sys.modules, package, None)

    return hide


def test_still_figures_need_matplotlib(without):
    without("matplotlib")
    with pytest.raises(MissingExtra, match=r"needs matplotlib.*nervure\[report\]"):
        draw(Curve(title="", alt="", x=[0, 1], y=[[0, 1]]))
    assert "<table" in draw(Matrix(title="", alt="", values=np.eye(2)))


def test_a_page_needs_jinja2(without):
    without("jinja2")
    with pytest.raises(MissingExtra, match="needs jinja2"):
        page("A", [])


def test_without_plotly_a_scatter_stays_still(without):
    without("plotly")
    html = draw(Scatter(title="", alt="", points=[[0, 1], [1, 0]], hover=["a", "b"]))
    assert "<svg" in html
    assert "data-plotly" not in html
    assert "Install plotly" in html


def test_the_script_itself_needs_plotly(without):
    plotly_script.cache_clear()
    without("plotly")
    with pytest.raises(MissingExtra, match="needs plotly"):
        plotly_script()
