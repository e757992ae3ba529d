"""Draws each kind of evidence, and pages; knows no method."""

from nervure.report.compare_page import compare_page
from nervure.report.figures import draw, figures
from nervure.report.history import history_curves
from nervure.report.page import Passage, Section, Tile, page, write
from nervure.report.run_page import RunLike, run_page

__all__ = [
    "Passage",
    "RunLike",
    "Section",
    "Tile",
    "compare_page",
    "draw",
    "figures",
    "history_curves",
    "page",
    "run_page",
    "write",
]
