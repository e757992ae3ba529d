import re
import xml.etree.ElementTree as ET

import matplotlib as mpl
import pytest

from nervure.report.canvas import colour, name_axes, still, themed


def paint(axes):
    axes.plot([0, 1, 2], [1.23456789, 3, 2], color=colour(1), label="x")
    axes.fill_between([0, 2], [0, 1], [1, 2], color=colour(0), alpha=0.2)
    axes.set_title('<script>$\\frac{$ & "quotes" $$ -- 漢字')


@pytest.fixture(scope="module")
def svg():
    return still(paint, ident="f1", alt='falls "fast" <b>')


def test_it_is_well_formed_and_named(svg):
    root = ET.fromstring(svg)
    assert root.get("role") == "img"
    assert root.get("aria-label") == 'falls "fast" <b>'
    assert "".join(root.itertext()).count('<script>$\\frac{$ & "quotes" $$ -- 漢字') == 1


def test_colours_are_those_of_the_page(svg):
    assert {"var(--c0)", "var(--c1)", "var(--muted)"} <= set(re.findall(r"var\(--\w+\)", svg))
    assert re.findall(r"#[0-9a-f]{6}", svg) == []
    assert "<style" not in svg


def test_ids_are_its_own_and_complete(svg):
    ids = re.findall(r' id="([^"]+)"', svg)
    used = re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', svg)
    assert len(ids) == len(set(ids))
    assert all(one.startswith("f1-") for one in ids)
    assert {one or two for one, two in used} <= set(ids)


def test_the_same_figure_gives_the_same_bytes(svg):
    assert still(paint, ident="f1", alt='falls "fast" <b>') == svg


def test_settings_of_the_user_change_nothing_and_stay(svg):
    with mpl.rc_context({"svg.fonttype": "path", "font.size": 30, "axes.grid": False}):
        assert still(paint, ident="f1", alt='falls "fast" <b>') == svg
        assert mpl.rcParams["font.size"] == 30


def test_numbers_are_short(svg):
    assert not re.search(r'd="[^"]*\d\.\d{3}', svg)


def test_it_scales_to_the_room_there_is(svg):
    opening = svg[: svg.index(">")]
    assert "viewBox" in opening
    assert "width=" not in opening


def test_an_id_that_begins_as_a_colour_does_stays_an_id():
    made = themed(
        '<svg viewBox="0 0 1 1"><path id="m1" fill="#fe0004"/><use xlink:href="#m1"/></svg>', ident="fe00ff", alt=""
    )
    assert 'id="fe00ff-0"' in made
    assert 'href="#fe00ff-0"' in made
    assert 'fill="var(--accent)"' in made


def test_numbers_of_an_axis_are_told_apart():
    def close(axes):
        axes.plot([0, 1], [0.99951, 0.99999])
        name_axes(axes, "", "")

    labels = re.findall(r">(0\.999\d+)<", still(close, ident="f2", alt=""))
    assert len(labels) == len(set(labels)) > 2
