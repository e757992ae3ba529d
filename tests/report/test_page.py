import os
import re

import pytest

from nervure import report
from nervure.errors import InputError
from nervure.evidence import Flow, Matrix, Scatter

FLOW = Flow(title="Widths", alt="one", steps=["a"], before=[3])
LIVELY = Scatter(title="Latent", alt="two", points=[[0, 1], [1, 0]], hover=["a", "b"])


class TestPage:
    def test_title_tiles_sections_and_versions(self):
        html = report.page(
            "A run",
            [report.Section("Data", "Ten classes.", [FLOW], code="nervure data digits")],
            summary="In one line.",
            tiles=[report.Tile("Accuracy", "97 %", "test")],
            versions={"nervure": "0.1.0"},
        )
        for words in (
            "<h1>A run</h1>",
            "<title>A run</title>",
            "In one line.",
            "<dt>Accuracy</dt><dd>97 %</dd>",
        ):
            assert words in html
        for words in ("<h2>Data</h2>", "Ten classes.", "Widths", "nervure data digits", "nervure 0.1.0"):
            assert words in html

    def test_sections_may_be_plain_tuples(self):
        assert report.page("A", [("Data", "words", [])]).count("<section") == 1

    @pytest.mark.parametrize(("count", "there"), [(4, False), (5, True)])
    def test_contents_when_there_is_much(self, count, there):
        html = report.page("A", [(f"Part {at}", "", []) for at in range(count)])
        assert ("<nav" in html) is there
        for anchor in re.findall(r'<a href="#(s\d)"', html):
            assert f'<section id="{anchor}"' in html

    def test_every_text_is_escaped(self):
        evil = "<script>x</script>"
        html = report.page(
            evil, [report.Section(evil, evil, [], [report.Passage(evil, [(evil, evil)], evil)], evil)],
            summary=evil, eyebrow=evil, tiles=[report.Tile(evil, evil, evil)], versions={evil: evil},
        )  # fmt: skip
        assert "<script" not in html

    def test_plotly_only_where_it_is_needed(self):
        still, lively = report.page("A", [("P", "", [FLOW])]), report.page("A", [("P", "", [LIVELY])])
        assert len(still) < 40_000
        assert "script-src 'none'" in still.replace("&#39;", "'")
        assert "script-src 'unsafe-inline'" in lively.replace("&#39;", "'")
        assert len(lively) > 1_000_000
        assert lively.count("plotly.js v") == 1

    def test_nothing_is_fetched(self):
        html = report.page("A", [("P", "", [FLOW, Matrix(title="", alt="", values=[[1]])])])
        assert not re.search(r'(?:src|href|srcset)="(?!#|data:)', html)
        assert not re.search(r"url\((?!#|data:)|@import", html)
        assert "default-src 'none'" in html.replace("&#39;", "'")

    def test_the_same_figure_twice_has_two_ids(self):
        html = report.page("A", [("P", "", [FLOW, FLOW]), ("Q", "", [FLOW, LIVELY, LIVELY])])
        html = html[: html.index("</main>")]
        ids = re.findall(r'\bid="([^"]+)"', html)
        assert len(ids) == len(set(ids))
        assert set(re.findall(r'data-from="([^"]+)"', html)) <= set(ids)

    def test_the_same_bytes_each_time(self):
        assert report.page("A", [("P", "", [FLOW])]) == report.page("A", [("P", "", [FLOW])])

    def test_characters_that_no_page_may_hold_are_dropped(self, tmp_path):
        bad = "a\x00\udcffb"
        passage = report.Passage(bad, [(bad, bad)], bad)
        section = report.Section(bad, bad, [FLOW], [passage], bad)
        given = {"summary": bad, "eyebrow": bad, "tiles": [report.Tile(bad, bad, bad)], "versions": {bad: bad}}
        path = report.write(tmp_path / "page.html", report.page(bad, [section], **given))
        text = path.read_text(encoding="utf-8")
        assert "\x00" not in text
        assert len(re.findall(r"\bab\b", text)) == 16

    def test_it_fits_a_phone(self):
        assert 'name="viewport" content="width=device-width, initial-scale=1"' in report.page("A", [])


class TestWrite:
    def test_whole_or_not_at_all(self, tmp_path, monkeypatch):
        def fail(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises((InputError, OSError)):
            report.write(tmp_path / "page.html", "<p>")
        assert list(tmp_path.iterdir()) == []

    def test_an_existing_page_is_kept_unless_told(self, tmp_path):
        path = report.write(tmp_path / "page.html", "one ü")
        with pytest.raises(InputError, match=r"page\.html exists"):
            report.write(path, "two")
        assert path.read_text(encoding="utf-8") == "one ü"
        report.write(path, "two", overwrite=True)
        assert path.read_text() == "two"

    def test_a_folder_is_refused(self, tmp_path):
        with pytest.raises(InputError, match="is a folder"):
            report.write(tmp_path, "x")
