"""Pages in a real browser: headless Chromium, light and dark, wide and narrow."""

import dataclasses
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from nervure import report
from nervure.evidence import Bars, Curve, Figure, Flow, Images, Matrix, Scatter, Table

pytestmark = pytest.mark.skipif(
    shutil.which("chromium") is None or shutil.which("chromedriver") is None,
    reason="browser tests: not run (no chromium and chromedriver on the path)",
)

HOSTILE = "<script>window.hostile = 1</script><img src=x onerror='window.hostile=1'>"


@dataclasses.dataclass
class SampleRun:
    path: Path | None
    net: object
    history: list
    metrics: dict
    evidence: dict
    lineage: list
    names: tuple
    task: str = "classification"
    source: str = "digits"
    fingerprint: str = "9d1f0c7a51be22aa8b"
    versions: dict = dataclasses.field(default_factory=lambda: {"nervure": "0.1.0", "torch": "2.13.0"})
    preprocessing: object = None
    in_shape: tuple = (1, 8, 8)


def sample_history(rng, epochs, best):
    fall = np.exp(-np.arange(epochs) / 5)
    return [
        {
            "epoch": at + 1,
            "train_loss": float(2.2 * fall[at] + 0.03 + 0.02 * rng.random()),
            "validation_loss": float(2.1 * fall[at] + 0.09 + 0.04 * rng.random()) if at != 7 else None,
            "validation_accuracy": float(best * (1 - 0.8 * fall[at]) + 0.004 * rng.random()),
            "lr": float(0.05 * (1 + np.cos(np.pi * at / epochs)) + 1e-4),
            "seconds": 1.4,
        }
        for at in range(epochs)
    ]


def sample_evidence(rng):
    digits = [str(name) for name in range(10)]
    from sklearn.datasets import load_digits

    pictures = np.uint8(load_digits().images[:, None] * 15.9)
    target = load_digits().target
    confusion = np.diag(rng.integers(32, 38, 10)) + (rng.random((10, 10)) > 0.88) * rng.integers(1, 5, (10, 10))
    many = rng.poisson(0.08, (100, 100)) + np.diag(rng.integers(60, 95, 100))
    points = np.stack([np.cos(target * 0.63), np.sin(target * 0.63)], 1) * 4 + rng.normal(0, 0.6, (len(target), 2))
    layers = [f"layer{stage}.{block}.conv{conv}" for stage in (1, 2, 3) for block in range(3) for conv in (1, 2)]
    widths = np.repeat([16, 32, 64], 6)
    kinds = [f"{['maple', 'oak', 'bee', 'crab', 'shark'][at % 5]} {at}" for at in range(100)]
    bins = np.linspace(0.05, 0.95, 10)
    return {
        "samples": Images(
            title="Forty samples",
            alt="Forty grey digits.",
            pictures=pictures[:40],
            captions=[f"{digit}" for digit in target[:40]],
            columns=10,
        ),
        "confusion": Matrix(
            title="Confusion on the test split",
            alt="Nearly all on the diagonal.",
            values=confusion,
            rows=digits,
            columns=digits,
            x_label="predicted",
            y_label="true",
            counts=True,
        ),
        "calibration": Curve(
            title="Calibration",
            alt="Close to the diagonal.",
            x=bins,
            y=np.stack([bins, np.clip(bins + rng.normal(0, 0.03, 10), 0, 1)]),
            spread=np.stack([np.zeros(10), np.full(10, 0.04)]),
            labels=["ideal", "measured"],
            x_label="confidence",
            y_label="accuracy",
        ),
        "errors": Images(
            title="What it got wrong",
            alt="Six digits with their labels.",
            pictures=pictures[40:46],
            captions=["5 not 9", "3 not 8", "1 not 7", "4", "8", "9 not 3"],
            columns=6,
            framed=[True, True, True, False, False, True],
        ),
        "cost": Table(
            title="Cost by layer",
            alt="Four layers; the second costs most.",
            columns=["layer", "output", "parameters", "MACs", "share"],
            rows=[
                ["features.0", "6 × 8 × 8", 156, 9984, 0.0241],
                ["features.3", "16 × 4 × 4", 2416, 38656, 0.6213],
                ["classifier.1", "120", 30840, 30720, 0.3],
                ["classifier.3", "10", 850, None, float("nan")],
            ],
        ),
        "latency": Bars(
            title="Latency",
            alt="ONNX Runtime is fastest.",
            values=[[1.92, 1.21, 0.64]],
            spread=[[0.2, 0.1, 0.05]],
            bars=["eager", "compiled", "ONNX Runtime"],
            y_label="milliseconds",
        ),
        "latent": Scatter(
            title="Latent space",
            alt="Ten groups on a ring.",
            points=points,
            groups=target,
            thumbnails=pictures,
            labels=digits,
            hover=[f"sample {at}" for at in range(len(target))],
            x_label="first",
            y_label="second",
        ),
        "widths": Flow(
            title="Widths before and after",
            alt="Late layers shrink most.",
            steps=layers,
            before=widths,
            after=np.maximum(4, (widths * rng.uniform(0.3, 1, len(widths))).astype(int)),
            y_label="filters",
        ),
        "fine-confusion": Matrix(
            title="Confusion of a hundred classes",
            alt="A bright diagonal.",
            values=many,
            rows=kinds,
            columns=kinds,
            x_label="predicted",
            y_label="true",
            counts=True,
        ),
        "agreement": Matrix(
            title="Agreement of criteria",
            alt="Two of them disagree.",
            values=[[1, 0.62, -0.31], [0.62, 1, float("nan")], [-0.31, float("nan"), 1]],
            rows=["l1", "majority-vote", "random"],
            columns=["l1", "majority-vote", "random"],
        ),
        "scores": Bars(
            title="Score by class",
            alt="Two series over five classes.",
            series=["train", "test"],
            values=[[0.99, 0.97, 0.95, float("nan"), 0.9], [0.95, 0.93, 0.91, 0.8, 0.7]],
            spread=[[0.01] * 5, [0.03] * 5],
            bars=["zero", "one", "two", "three", "four"],
        ),
        "outside": Figure(
            title="A kind of its own",
            alt="A rose of eight winds.",
            kind="rose",
            data={"winds": np.arange(8.0)},
        ),
    }


def sample_run(name="base", seed=0, **metrics):
    rng = np.random.default_rng(seed)
    lineage = [
        {"action": "train", "seed": 0, "settings": {"epochs": 24, "batch": 128, "lr": 0.1}},
        {"action": "prune", "seed": 0, "settings": {"criterion": "majority-vote", "target": {"macs": 0.5}}},
    ]
    scores = {
        "accuracy": 0.973,
        "macro_f1": 0.971,
        "parameters": 61706.0,
        "macs": 416520.0,
        "bytes": 248000.0,
    }
    return SampleRun(
        path=Path("runs") / name,
        net=object(),
        history=sample_history(rng, 24, 0.97),
        lineage=lineage,
        metrics={**scores, "latency_ms": 0.64, **metrics},
        evidence=sample_evidence(rng),
        names=tuple("0123456789"),
    )


def hostile(value):
    """The figure with every text replaced by markup that would run if it were not escaped."""
    changes = {}
    for one in dataclasses.fields(value):
        held = getattr(value, one.name)
        if one.name == "kind" or one.name == "name":
            continue
        if isinstance(held, str):
            changes[one.name] = HOSTILE
        elif isinstance(held, tuple) and held and isinstance(held[0], str):
            changes[one.name] = [HOSTILE] * len(held)
    if isinstance(value, Table):
        changes["rows"] = [[HOSTILE, 1]]
    if type(value) is Figure:
        changes |= {"notes": {HOSTILE: HOSTILE}, "data": {HOSTILE: np.arange(3)}}
    return dataclasses.replace(value, **changes)


def lively(browser):
    for _ in range(100):
        if browser.do("return document.querySelectorAll('.nv-plot .main-svg').length"):
            return
        time.sleep(0.1)
    raise AssertionError("plotly drew nothing")


def overflow(browser):
    return browser.do("return document.documentElement.scrollWidth - document.documentElement.clientWidth")


@pytest.fixture(scope="module")
def run_page(tmp_path_factory):
    return report.write(tmp_path_factory.mktemp("page") / "run.html", report.run_page(sample_run()))


class TestRunPage:
    def test_no_trouble_and_no_request(self, browser, run_page):
        browser.look()
        browser.open(run_page)
        lively(browser)
        assert browser.troubles() == []
        assert browser.requests() == []

    def test_figures_and_tables_are_there(self, browser, run_page):
        browser.look()
        browser.open(run_page)
        lively(browser)
        assert browser.do("return document.querySelectorAll('figure').length") == len(sample_run().evidence) + 4
        tall = browser.do("return [...document.querySelectorAll('figure')].map(one => one.offsetHeight)")
        assert min(tall) > 60
        assert browser.do("return document.querySelectorAll('table.nv-heat td').length") > 100
        assert browser.do("return document.querySelector('.nv-map img').naturalWidth") == 100
        unnamed = "return [...document.querySelectorAll('[role=img]')].filter(one => !one.ariaLabel).length"
        assert browser.do(unnamed) == 0
        assert browser.do("return [...document.querySelectorAll('img')].filter(one => !one.alt).length") == 0

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [390, 1280])
    def test_nothing_sticks_out(self, browser, run_page, width, scheme):
        browser.look(width=width, scheme=scheme)
        browser.open(run_page)
        lively(browser)
        assert overflow(browser) <= 0
        out = browser.do(
            "return [...document.querySelectorAll('figure, svg.nv-still, p, h1, h2, dl, li')].filter(one => {"
            "const box = one.getBoundingClientRect(); return box.width && box.right > innerWidth + 1"
            "}).filter(one => !one.closest('.nv-scroll')).map(one => one.outerHTML.slice(0, 120))"
        )
        assert out == []

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_text_stands_out_from_its_ground(self, browser, run_page, scheme):
        browser.look(scheme=scheme)
        browser.open(run_page)
        faint = browser.do(CONTRAST)
        assert faint == []

    def test_a_picture_shows_under_the_pointer(self, browser, run_page):
        browser.look()
        browser.open(run_page)
        lively(browser)
        place = browser.do(
            "const plot = document.querySelector('.nv-plot');"
            "plot.scrollIntoView({behavior: 'instant', block: 'center'});"
            "const box = plot.querySelector('.point').getBoundingClientRect();"
            "return [box.x + box.width / 2, box.y + box.height / 2]"
        )
        hover = "return document.querySelector('.nv-hover').hidden"
        assert browser.do(hover) is True
        for turn in range(30):
            browser.tell("Input.dispatchMouseEvent", type="mouseMoved", x=place[0] + turn % 2, y=place[1])
            if not browser.do(hover):
                break
            time.sleep(0.1)
        assert browser.do(hover) is False
        assert "sample" in browser.do("return document.querySelector('.nv-hover').textContent")
        shown = "const one = document.querySelector('.nv-hover i'); return [one.offsetWidth, one.offsetHeight]"
        assert min(browser.do(shown)) > 40


def test_a_word_too_long_for_its_picture_ends_in_an_ellipsis(browser, tmp_path):
    """It is not broken into two lines."""
    pictures = Images(
        title="t", alt="a", pictures=np.zeros((10, 1, 8, 8), np.uint8), captions=["cat", "automobile"] * 5, columns=10
    )
    browser.look(width=390)
    browser.open(report.write(tmp_path / "grid.html", report.page("t", [report.Section("s", "", [pictures])])))
    short, long = browser.do(
        "return [...document.querySelectorAll('.nv-grid span')].slice(0, 2).map(one => "
        "[one.offsetHeight, one.scrollWidth > one.clientWidth, getComputedStyle(one).textOverflow])"
    )
    assert short[1] is False
    assert long == [short[0], True, "ellipsis"]


class TestTheTests:
    """What the other tests rest on: that a request, an error and faint text would be seen."""

    def test_a_bad_page_is_caught(self, browser, tmp_path):
        path = tmp_path / "bad.html"
        path.write_text(
            "<!doctype html><body style='background:#fff'><p style='color:#bbb;width:3000px'>faint</p>"
            "<img src='http://127.0.0.1:9/a.png'><script>throw new Error('no')</script>"
        )
        browser.look()
        browser.open(path)
        assert browser.requests() == ["http://127.0.0.1:9/a.png"]
        assert any("Error: no" in entry["message"] for entry in browser.troubles())
        assert overflow(browser) > 1000
        assert "faint" in browser.do(CONTRAST)[0][1]


class TestSafety:
    @pytest.fixture
    def page_of_hostile_names(self, tmp_path):
        figures = [hostile(figure) for figure in sample_evidence(np.random.default_rng(0)).values()]
        passage = report.Passage(HOSTILE, [(HOSTILE, HOSTILE)], HOSTILE)
        html = report.page(
            HOSTILE,
            [report.Section(HOSTILE, HOSTILE, figures, [passage], HOSTILE)],
            summary=HOSTILE,
            eyebrow=HOSTILE,
            tiles=[report.Tile(HOSTILE, HOSTILE, HOSTILE)],
            versions={HOSTILE: HOSTILE},
        )
        return report.write(tmp_path / "hostile.html", html)

    def test_no_text_runs(self, browser, page_of_hostile_names):
        browser.look()
        browser.open(page_of_hostile_names)
        lively(browser)
        assert browser.do("return window.hostile === undefined")
        assert browser.do("return document.querySelectorAll('img[onerror]').length") == 0
        assert browser.troubles() == []
        assert browser.requests() == []
        assert "<script>" in browser.do("return document.querySelector('h1').textContent")


class TestWithoutScripts:
    def test_a_page_without_interactive_figures_holds_no_script(self, browser, tmp_path):
        run = sample_run()
        run.evidence.pop("latent")
        path = report.write(tmp_path / "still.html", report.run_page(run))
        assert path.stat().st_size < 600_000
        browser.look()
        browser.open(path)
        assert browser.do("return document.scripts.length") == 0
        assert browser.troubles() == []
        assert browser.requests() == []


class TestComparePage:
    @pytest.mark.parametrize("width", [390, 1280])
    def test_two_runs_side_by_side(self, browser, tmp_path, width):
        runs = [sample_run(), sample_run("small", 1, accuracy=0.969, parameters=20110.0, macs=201000.0)]
        path = report.write(tmp_path / "compare.html", report.compare_page(runs))
        browser.look(width=width)
        browser.open(path)
        assert browser.troubles() == []
        assert browser.requests() == []
        assert overflow(browser) <= 0
        assert "−67.4 %" in browser.do("return document.querySelector('table').textContent")


CONTRAST = """
const parse = (text) => {
  const canvas = parse.canvas ??= new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
  canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
};
const linear = (v) => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
const luminance = (rgb) => rgb.slice(0, 3).map(linear)
  .reduce((sum, v, at) => sum + v * [.2126, .7152, .0722][at], 0);
const ground = (node) => {
  for (let one = node; one; one = one.parentElement) {
    const colour = parse(getComputedStyle(one).backgroundColor);
    if (colour[3] > 250) return colour;
  }
  return parse(getComputedStyle(document.documentElement).colorScheme === 'dark' ? '#000' : '#fff');
};
const faint = [];
const wanted = 'p, dt, dd, td, th, li, figcaption, h1, h2, h3, a, svg.nv-still text';
for (const node of document.querySelectorAll(wanted)) {
  if (!node.textContent.trim() || !node.getClientRects().length) continue;
  const style = getComputedStyle(node);
  const ink = luminance(parse(node.closest('svg.nv-still') ? style.fill : style.color));
  const under = luminance(ground(node));
  const ratio = (Math.max(ink, under) + .05) / (Math.min(ink, under) + .05);
  if (ratio < 4.5) faint.push([ratio.toFixed(2), node.outerHTML.slice(0, 100)]);
}
return faint.slice(0, 5);
"""
