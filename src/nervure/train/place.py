"""Place: the folder of a run while training fills it."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from nervure.store import Action, Run, is_run
from nervure.store import folder as runs
from nervure.train import checkpoint
from nervure.train.synchronise import desynchronise

if TYPE_CHECKING:
    from nervure.train.loop import Loop

__all__ = ["Place"]

_SIZES = "sizes"


class Place:
    """Holds the checkpoint of training, and networks of other sizes that training passed and left behind.

    What stood in the folder stays until there is something to put in its place.

    Parameters
    ----------
    out : path
        The run's folder, claimed by the caller.
    lineage : tuple of Action
        What leads to every network that is written here.
    fresh : bool
        Whether training starts anew, so that sizes which an earlier one left are void.
    """

    def __init__(self, out: Path, lineage: tuple[Action, ...], fresh: bool) -> None:
        self.out, self.lineage, self._fresh = out, lineage, fresh

    @property
    def kept(self) -> bool:
        """Whether the folder holds a checkpoint of this training, and not of one that it replaces."""
        return not self._fresh and checkpoint.file_of(self.out).is_file()

    def checkpoint(self, loop: Loop) -> None:
        """Keep training as it is; the previous checkpoint is replaced."""
        self._clear()
        checkpoint.write(self.out, loop)

    def keep_size(self, loop: Loop, name: str, state: Mapping[str, Tensor], metrics: Mapping[str, float]) -> None:
        """Write the network as it is built now, with the weights ``state``, as a run of its own: ``sizes/NAME``."""
        self._clear()
        net = desynchronise(copy.deepcopy(loop.net)).cpu().eval()
        net.load_state_dict(state)
        run = Run.of(net, loop.ds, self.lineage)
        run.metrics = {**metrics, "parameters": float(sum(one.numel() for one in net.parameters()))}
        runs.write(self.out / _SIZES / name, run)

    def _clear(self) -> None:
        if is_run(self.out):
            runs.discard(self.out)
        elif self._fresh:
            shutil.rmtree(self.out / _SIZES, ignore_errors=True)
            checkpoint.clear(self.out)
        self._fresh = False
