"""Pages: one self-contained HTML file that opens offline, asks nothing of the network, and prints well."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from nervure.errors import InputError
from nervure.evidence import Figure
from nervure.report.extra import need
from nervure.report.figures import draw
from nervure.report.markup import printable

__all__ = ["Passage", "Section", "Tile", "page", "write"]


class Tile(NamedTuple):
    """One key figure: what it is, how much, and a remark.

    >>> Tile("Accuracy", "97.3 %").note
    ''
    """

    label: str
    value: str
    note: str = ""


class Passage(NamedTuple):
    """One step of a story that is told in order: its name, settings by name, and a remark.

    >>> Passage("prune", [("criterion", "l1")]).name
    'prune'
    """

    name: str
    settings: Sequence[tuple[str, str]] = ()
    note: str = ""


class Section(NamedTuple):
    """A part of a page: heading, a paragraph, figures, steps in order, and a block of code.

    >>> Section("Cost", code="nervure evaluate runs/base").figures
    ()
    """

    heading: str
    intro: str = ""
    figures: Sequence[Figure] = ()
    passages: Sequence[Passage] = ()
    code: str = ""


def page(
    title: str,
    sections: Iterable[Section | tuple[str, str, Sequence[Figure]]],
    *,
    summary: str = "",
    eyebrow: str = "",
    tiles: Sequence[Tile] = (),
    versions: Mapping[str, str] | None = None,
) -> str:
    """The whole page as one string of HTML.

    Parameters
    ----------
    title, summary, eyebrow : str
        The heading, a line below it, and a word beside the name of the program.
    sections : iterable of Section
        Or of plain ``(heading, intro, figures)``. With more than four there is a table of contents.
    tiles : sequence of Tile
        Key figures below the heading.
    versions : mapping of str to str
        What the footer names.

    Examples
    --------
    >>> html = page("A run", [("Data", "Ten classes.", [])])
    >>> html.count("<section"), "http" in html.replace("http-equiv", "")
    (1, False)
    """
    need("jinja2", "writing a page")
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    ids: dict[str, int] = {}
    parts = []
    for number, section in enumerate(Section(*one) for one in sections):
        drawn = [Markup(_once(draw(figure), ids)) for figure in section.figures]
        parts.append({**section._asdict(), "anchor": f"s{number + 1}", "drawn": drawn})
    whole = "".join(str(one) for part in parts for one in part["drawn"])
    scripts = [plotly_script(), _text("interactive.js")] if " data-plotly=" in whole else []
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else printable(value),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.from_string(_text("page.html")).render(
        title=title,
        summary=summary,
        eyebrow=eyebrow,
        tiles=tiles,
        sections=parts,
        css=Markup(_text("page.css")),
        scripts=[Markup(script) for script in scripts],
        scripted="<script" in whole,
        versions=list((versions or {}).items()),
    )


def write(path: Path | str, text: str, *, overwrite: bool = False) -> Path:
    """Write a page, whole or not at all; an existing file is refused unless ``overwrite``.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(Path(folder) / "page.html", page("A", [])).name
    'page.html'
    """
    from nervure.store.atomic import write_text

    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the name of a file for the page")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists; choose another name, or overwrite it")
    write_text(path, text)
    return path


@functools.cache
def plotly_script() -> str:
    """Plotly's own script, as it stands in pages with an interactive figure.

    >>> "</script" in plotly_script()
    False
    """
    need("plotly", "an interactive figure")
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs()).replace("</script", "<\\/script")


@functools.cache
def _text(name: str) -> str:
    return resources.files("nervure.report").joinpath(name).read_text(encoding="utf-8")


def _once(fragment: str, seen: dict[str, int]) -> str:
    """The fragment with ids of its own when the same figure stands on the page already."""
    found = re.match(r'<figure class="[^"]*" id="(\w+)"', fragment)
    if found is None:
        return fragment
    ident = found[1]
    seen[ident] = seen.get(ident, 0) + 1
    return fragment if seen[ident] == 1 else fragment.replace(ident, f"{ident}x{seen[ident]}")
