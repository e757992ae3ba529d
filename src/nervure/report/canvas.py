"""Still figures: matplotlib paints, and what comes out is inline SVG that takes its colours from the page.

Matplotlib is given stand-in colours, which are replaced by CSS variables afterwards; so one drawing is
legible in light and dark mode and on paper. Text stays text. The same evidence gives the same bytes.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nervure.report.extra import need
from nervure.report.markup import COLOURS, compact, escape, printable, told_apart

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.ticker import Formatter

__all__ = ["colour", "name_axes", "numbers", "still", "themed"]

_NAMES = (
    "ink",
    "muted",
    "rule",
    "surface",
    "accent",
    "ghost",
    "bad",
    *(f"c{index}" for index in range(COLOURS)),
)
_STAND_INS = {name: f"#fe00{index:02x}" for index, name in enumerate(_NAMES)}

_SETTINGS: dict[Any, object] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 9.2,
    "axes.labelsize": 9.2,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "axes.edgecolor": _STAND_INS["rule"],
    "axes.labelcolor": _STAND_INS["muted"],
    "text.color": _STAND_INS["ink"],
    "xtick.color": _STAND_INS["rule"],
    "ytick.color": _STAND_INS["rule"],
    "xtick.labelcolor": _STAND_INS["muted"],
    "ytick.labelcolor": _STAND_INS["muted"],
    "grid.color": _STAND_INS["rule"],
    "grid.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "xtick.major.pad": 5,
    "ytick.major.pad": 4,
    "lines.solid_capstyle": "round",
    "path.simplify_threshold": 0.3,
}


def colour(name: str | int) -> str:
    """The stand-in for one of the page's colours; a number picks a categorical one.

    >>> colour(0) == colour("c0") == colour(10)
    True
    """
    return _STAND_INS[name if isinstance(name, str) else f"c{name % COLOURS}"]


def still(paint: Callable[[Axes], None], *, ident: str, alt: str, width: float = 310.0, height: float = 190.0) -> str:
    """Inline SVG of what ``paint`` draws on a pair of axes.

    Parameters
    ----------
    paint : callable
        Gets the axes; colours by :func:`colour`.
    ident : str
        Prefix of every id inside, so that figures share a page.
    alt : str
        What a reader who cannot see the figure must know.
    width, height : float
        In units of the drawing; on the page it scales to the room there is.

    Examples
    --------
    >>> svg = still(lambda axes: axes.plot([0, 1], [0, 1], color=colour(0)), ident="f1", alt="a line")
    >>> "var(--c0)" in svg, 'aria-label="a line"' in svg
    (True, True)
    """
    need("matplotlib", "drawing figures")
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.text import Text

    with mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mpl.rcdefaults()
        mpl.rcParams.update({**_SETTINGS, "svg.hashsalt": ident})
        figure = Figure(figsize=(width / 72, height / 72), layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02))
        paint(figure.add_subplot())
        for text in figure.findobj(Text):
            text.set_text(printable(text.get_text()))
        buffer = io.StringIO()
        FigureCanvasSVG(figure).print_figure(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return themed(buffer.getvalue(), ident=ident, alt=alt)


def numbers() -> Formatter:
    """Short numbers along an axis, no two of them alike."""
    from matplotlib.ticker import FuncFormatter

    class Numbers(FuncFormatter):
        def format_ticks(self, values: Any) -> list[str]:
            return told_apart([float(value) for value in values])

    return Numbers(lambda value, _: compact(value))


def name_axes(axes: Axes, x_label: str, y_label: str) -> None:
    """Name the axes; the upright one above its own end, where it is read without turning the head."""
    axes.yaxis.set_major_formatter(numbers())
    if x_label:
        axes.set_xlabel(x_label)
    if y_label:
        axes.set_title(y_label, loc="left", fontsize=9.2, color=colour("muted"), pad=8)


def themed(svg: str, *, ident: str, alt: str) -> str:
    """The SVG alone, ready to stand in a page: CSS colours, own ids, short numbers, alternative text."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>|<!--.*?-->", "", svg, flags=re.S)
    used = dict.fromkeys(re.findall(r'(?:url\(#|href="#)([^")]+)', svg))
    short = {old: f"{ident}-{index}" for index, old in enumerate(used)}
    # Text of users holds no raw "<" here, so a tag is what stands between angle brackets.
    svg = re.sub(r"<[^>]+>", lambda tag: _tag(tag[0], short), svg)
    box = re.search(r'viewBox="([^"]*)"', svg)
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="nv-still" viewBox="{box[1] if box else "0 0 1 1"}" '
        f'role="img" aria-label="{escape(alt)}">'
    )
    svg = re.sub(r"^<svg[^>]*>", lambda _: opening, svg)
    svg = re.sub(r"<g>\s*</g>", "", svg)
    return re.sub(r">\s*\n\s*<", "><", svg).strip()


def _tag(tag: str, short: dict[str, str]) -> str:
    def renamed(found: re.Match[str]) -> str:
        return f' id="{short[found[1]]}"' if found[1] in short else ""

    # Colours before ids: one of ours may begin as a colour does.
    tag = re.sub(r"#fe00([0-9a-f]{2})", lambda found: f"var(--{_NAMES[int(found[1], 16)]})", tag)
    tag = re.sub(r' id="([^"]*)"', renamed, tag)
    tag = re.sub(r"url\(#([^)]+)\)", lambda found: f"url(#{short[found[1]]})", tag)
    tag = re.sub(r'(?:xlink:)?href="#([^"]+)"', lambda found: f'href="#{short[found[1]]}"', tag)
    tag = tag.replace(" \n", " ").replace("\n", " ")
    return re.sub(r"-?\d+\.\d{2,}", lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), tag)
