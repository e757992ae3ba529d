"""What acts between the steps of training.

A callback is named in the recipe with its options, so that a resumed run makes it again; what it learns on the
way is its state. Other packages add rows in the group ``nervure.callbacks``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from nervure.data.dataset import Batch
from nervure.registry import Table
from nervure.train.optimizer import Change
from nervure.train.recipe import CallbackSpec

if TYPE_CHECKING:
    from nervure.train.loop import Loop

__all__ = ["Callback", "get", "make", "names", "table"]


class Callback:
    """Hooks of the loop; override those that are needed.

    The loop is handed over whole: ``loop.net``, ``loop.optimizer``, ``loop.ds``, ``loop.epoch``, ``loop.evidence``.
    """

    def start(self, loop: Loop) -> None:
        """Before the first step, and again after a resume (before the state is loaded)."""

    def after_backward(self, loop: Loop, batch: Batch) -> None:
        """Gradients are ready, the parameters not yet moved."""

    def after_step(self, loop: Loop, batch: Batch) -> None:
        """The parameters have moved."""

    def after_epoch(self, loop: Loop, row: dict[str, float | int | str | None]) -> Change | None:
        """The epoch's row of history is there and may be extended; a Change replaces the network."""
        return None

    def finish(self, loop: Loop) -> None:
        """After the last epoch; figures go to ``loop.evidence``."""

    def state_dict(self) -> dict[str, Any]:
        """What must survive a resume: tensors and plain values, nested in dicts and lists."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what :meth:`state_dict` gave."""


table: Table[Callable[..., Callback]] = Table(
    "callback",
    {
        "weight-average": (
            "nervure.train.average:WeightAverage",
            "keeps a running average of the weights and hands it over at the end",
            "Polyak and Juditsky 1992",
        ),
        "iterative-votes": (
            "nervure.prune.training.iterative:IterativeVotes",
            "prunes dense layers by votes at each cycle that sets a new best on validation",
            "Alqahtani, thesis, chapter 5",
        ),
        "set": (
            "nervure.prune.training.evolve:SparseEvolution",
            "sparse dense layers whose weakest connections move after each epoch",
            "Mocanu et al. 2018 (SET)",
        ),
        "weight-mask": (
            "nervure.prune.training.masks:WeightMask",
            "keeps all weights of cut units at zero",
            "Alqahtani, thesis, chapter 5",
        ),
        "cluster-phase": (
            "nervure.cluster.phase:ClusterPhase",
            "sets a clusterer's head from all latents after each epoch, and watches it",
            "Alqahtani, thesis, chapter 3",
        ),
        "consistency": (
            "nervure.cluster.consistency:Consistency",
            "a second step after each, towards the same clusters for samples and their copies",
            "Tissera, thesis, chapter 4",
        ),
        "sparse-training": (
            "nervure.sparsify.training.sparse:SparseTraining",
            "trains under masks of edges that are judged anew after each epoch",
            "Garg, thesis, chapter 4",
        ),
        "l1-penalty": (
            "nervure.sparsify.training.penalty:L1Penalty",
            "a penalty on the magnitude of weights; those near zero go at the end",
            "Garg, thesis, chapter 4 (baseline)",
        ),
        "activation-dropout": (
            "nervure.sparsify.training.dropout:ActivationDropout",
            "drops random activations between layers while training",
            "Garg, thesis, chapter 4 (baseline)",
        ),
    },
    group="nervure.callbacks",
)
names = table.names
get = table.get


def make(spec: CallbackSpec) -> Callback:
    """The callback that a recipe names; a wrong option is named."""
    made: Callback = table.make(spec.name, spec.options)
    return made
