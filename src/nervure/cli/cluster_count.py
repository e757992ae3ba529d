"""The number of clusters on the command line: one, a range, or ``auto``; and what other seeds find."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nervure.cli import common
from nervure.cli.console import say
from nervure.errors import InputError, InterruptedWork

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nervure.cluster.choice import Choice
    from nervure.cluster.estimator import DeepClusterer
    from nervure.data import Dataset
    from nervure.data.links import Given
    from nervure.evidence import Figure
    from nervure.store import Run

__all__ = ["agree", "agreed", "claim", "done", "numbers", "pick"]

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


def claim(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Check that a run may be written at ``out``; fits that are kept beside it are unfinished work too."""
    common.claim(out, resume=resume, overwrite=overwrite)
    if not (resume or overwrite) and any(kept.exists() for kept in _kept(out)):
        raise InputError(f"{out} holds unfinished work; give --resume to go on with it, or --overwrite to replace it")


def pick(
    estimator: DeepClusterer, ds: Dataset, tried: tuple[int, ...], seeds: int | None, out: Path, quiet: bool,
    anew: bool,
) -> Choice:  # fmt: skip
    """Choose by silhouette and stability, on the latents of one network; the estimator is set to what was chosen.

    Fits are kept beside ``out`` until :func:`done` removes them. Where all is made ``anew``, the run that stood in
    ``out`` goes as soon as one of them is kept, so that ``--resume`` does not find it.
    """
    from nervure.cluster.choice import choose

    kept = _kept(out)[0]
    say(f"choosing among {tried[0]} to {tried[-1]} clusters", quiet=quiet)
    with _counting("fits", out, quiet, every=len(tried), instead=kept if anew else None) as progress:
        found = choose(
            estimator, ds, tried, seeds=SEEDS if seeds is None else seeds, refit=False, out=kept, progress=progress
        )
    estimator.set_params(n_clusters=found.k)
    if found.latent is not None:
        estimator.set_params(latent=found.latent)
    say(f"{found.k} clusters, by silhouette and stability over seeds", quiet=quiet)
    for note in found.notes:
        say(note, quiet=quiet)
    return found


def done(out: Path) -> None:
    """Remove the fits that were kept for a second start, where there is none or it was asked to start anew."""
    for kept in _kept(out):
        shutil.rmtree(kept, ignore_errors=True)


def agreed(run: Run, seeds: int) -> bool:
    """Whether a run holds what so many seeds agree on: it was finished before, and is asked for again."""
    from nervure.evidence import Matrix

    found = run.evidence.get("seeds-agreement")
    return isinstance(found, Matrix) and len(found.values) == seeds


def agree(
    estimator: DeepClusterer, ds: Dataset, labels: NDArray[np.int64] | None, links: Given | None, seeds: int,
    out: Path, quiet: bool,
) -> tuple[dict[str, Figure], dict[str, float]]:  # fmt: skip
    """What fits with so many seeds agree on, as figures and measures; the first of them is the estimator's own.

    Fits are kept beside ``out`` until :func:`done` removes them.
    """
    from nervure.cluster.seeds import stability

    kept = _kept(out)[1]
    say(f"fitting {seeds} seeds, to see what they agree on", quiet=quiet)
    with _counting("seeds", out, quiet) as progress:
        found = stability(
            estimator, ds, seeds, labels=labels, links=links, first=estimator.labels_, out=kept, progress=progress
        )
    measures = {
        "agreement_over_seeds": found.mean,
        "stable_clusters": float(len(found.stable)),
        "certainty_over_seeds": float(found.certainty.mean()),
    }
    return {"seeds-agreement": found.matrix(), "seeds-clusters": found.table()}, measures


def _kept(out: Path) -> tuple[Path, Path]:
    """The folder of the fits with several numbers, and that of the fits with several seeds."""
    whole = Path(os.path.abspath(out))  # "." has no name
    return whole.with_name(f".{whole.name}.counts"), whole.with_name(f".{whole.name}.seeds")


@contextlib.contextmanager
def _counting(
    what: str, out: Path, quiet: bool, every: int = 1, instead: Path | None = None
) -> Iterator[Callable[[int, int], None]]:
    """What is told of each fit; after Ctrl-C it says how many are kept, and how to go on.

    What ``out`` holds goes as soon as the folder ``instead`` keeps a fit, or the training for one.
    """
    from nervure.cluster.supersede import kept_in
    from nervure.store import folder

    made = f"0 {what}"

    def progress(done: int, of: int) -> None:
        nonlocal made
        made = f"{done} of {of} {what}"
        if instead is not None:
            folder.discard(out)
        say(made, quiet=quiet or done % every > 0)

    try:
        yield progress
    except KeyboardInterrupt:
        if instead is not None and kept_in(instead / "network"):
            folder.discard(out)
        hint = "" if instead is not None and folder.is_run(out) else f"; {out}: go on with --resume"
        raise InterruptedWork(f"stopped after {made}{hint}") from None
