"""What a run's folder held before goes as soon as something is kept of the work that takes its place."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from nervure.observe.ranks import rank
from nervure.store.atomic import clear_errors
from nervure.store.folder import is_run
from nervure.train import checkpoint
from nervure.train.loop import Progress

__all__ = ["Superseding", "kept_in"]


def kept_in(place: Path) -> bool:
    """Whether a folder keeps training, ended or not.

    >>> kept_in(Path("no/such/folder"))
    False
    """
    return is_run(place) or checkpoint.file_of(place).is_file()


class Superseding:
    """Removes what a run's folder held, once the first training in a folder beside its checkpoint is kept.

    Until then the old run stands; if it stood longer, ``--resume`` would find it in place of what was begun.

    Parameters
    ----------
    out : Path, optional
        The run's folder, claimed by the caller; None where nothing is to go.
    """

    def __init__(self, out: Path | None) -> None:
        self.out = out

    @contextlib.contextmanager
    def by(
        self, place: Path | None, progress: Callable[[Progress], None] | None = None
    ) -> Iterator[Callable[[Progress], None]]:
        """While training fills ``place``, gives what is told of its progress, and tells ``progress``."""

        def look() -> None:
            if self.out is None or place is None or place == self.out or not kept_in(place):
                return
            if rank() == 0:  # processes have met by now
                _clear(self.out, place)
            self.out = None

        def told(where: Progress) -> None:
            look()
            if progress is not None:
                progress(where)

        try:
            yield told
        finally:
            look()


def _clear(out: Path, place: Path) -> None:
    """Remove all but ``place``, a run's record first, so that a folder half removed is no run."""
    with clear_errors(out):
        (out / "run.json").unlink(missing_ok=True)
        for held in (*out.iterdir(), *place.parent.iterdir()):
            if held in (place, place.parent):
                continue
            if held.is_dir() and not held.is_symlink():
                shutil.rmtree(held)
            else:
                held.unlink()
