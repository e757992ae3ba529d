"""The number of clusters on the command line: one, a range, or ``auto``; and what other seeds find."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nervure.cli.console import say
from nervure.errors import InputError

if TYPE_CHECKING:
    from nervure.cluster.choice import Choice
    from nervure.cluster.estimator import DeepClusterer
    from nervure.data import Dataset
    from nervure.evidence import Figure

__all__ = ["agree", "numbers", "pick"]

AUTO = range(2, 13)
SEEDS = 3


def numbers(text: str | None) -> tuple[int, ...]:
    """The numbers of clusters that ``-k`` names: one, or all that are to be tried.

    >>> numbers("10"), numbers("2-5"), numbers("auto")[-1]
    ((10,), (2, 3, 4, 5), 12)
    """
    if text is None:
        raise InputError("say how many clusters there are to be: -k 10; or -k auto")
    if text.strip().lower() == "auto":
        return tuple(AUTO)
    first, dash, last = text.strip().partition("-")
    if not first.isdigit() or (dash and not last.isdigit()):
        raise InputError(f"-k {text}: give a number, a range such as 2-12, or auto")
    if int(first) < 2:
        raise InputError(f"-k {text}: that is no grouping; give 2 or more")
    if dash and int(last) <= int(first):
        raise InputError(f"-k {text}: the range ends before it begins; write the smaller number first")
    return tuple(range(int(first), int(last or first) + 1))


def pick(
    estimator: DeepClusterer, ds: Dataset, tried: tuple[int, ...], seeds: int | None, out: Path, resume: bool,
    quiet: bool,
) -> Choice:  # fmt: skip
    """Choose by silhouette and stability, on the latents of one network; the estimator is set to what was chosen.

    Fits are kept beside ``out`` until :func:`done` removes them.
    """
    from nervure.cluster.choice import choose

    kept = _kept(out)
    if not resume:
        kept.unlink(missing_ok=True)
    say(f"choosing among {tried[0]} to {tried[-1]} clusters", quiet=quiet)
    found = choose(
        estimator, ds, tried, seeds=SEEDS if seeds is None else seeds, refit=False, out=kept,
        progress=lambda done, of: say(f"{done} of {of} fits", quiet=quiet or done % len(tried) > 0),
    )  # fmt: skip
    estimator.set_params(n_clusters=found.k)
    if found.latent is not None:
        estimator.set_params(latent=found.latent)
    say(f"{found.k} clusters, by silhouette and stability over seeds", quiet=quiet)
    for note in found.notes:
        say(note, quiet=quiet)
    return found


def done(out: Path) -> None:
    """Remove the fits that were kept for a second start."""
    _kept(out).unlink(missing_ok=True)


def agree(estimator: DeepClusterer, ds: Dataset, seeds: int, quiet: bool) -> tuple[dict[str, Figure], dict[str, float]]:
    """What fits with so many seeds agree on, as figures and measures."""
    from nervure.cluster.seeds import stability

    say(f"fitting {seeds} seeds, to see what they agree on", quiet=quiet)
    found = stability(
        estimator, ds, seeds, progress=lambda done, of: say(f"{done} of {of} seeds", quiet=quiet)
    )  # fmt: skip
    measures = {
        "agreement_over_seeds": found.mean,
        "stable_clusters": float(len(found.stable)),
        "certainty_over_seeds": float(found.certainty.mean()),
    }
    return {"seeds-agreement": found.matrix(), "seeds-clusters": found.table()}, measures


def _kept(out: Path) -> Path:
    return out.with_name(f".{out.name}.counts.json")
