"""A sparsified network as a run: measured before and after, with its mask's figures."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from nervure.data.dataset import Dataset
from nervure.evidence import Table
from nervure.sparsify.figures import weight_histograms
from nervure.sparsify.mask import Mask
from nervure.store import Action, Run
from nervure.train.evaluate import evaluate

__all__ = ["settings", "sparsified_run"]


def sparsified_run(
    run: Run,
    ds: Dataset,
    mask: Mask,
    thin: nn.Module | None = None,
    *,
    device: str = "auto",
    command: str = "",
) -> Run:
    """The run of ``run.net`` under ``mask``, or of ``thin`` made of that: measured on the test split, or what there is.

    Its evidence holds the mask's figures, the weights by layer, and the measures before and after.

    >>> import nervure as nv
    >>> ds = nv.data.load("digits")
    >>> run = nv.store.Run.of(nv.nets.build("lenet5", ds), ds)
    >>> done = sparsified_run(run, ds, nv.sparsify.plan(run.net, ds, "magnitude", 0.5), device="cpu")
    >>> done.lineage[-1].name, round(done.metrics["sparsity"], 3)
    ('sparsify', 0.5)
    """
    net = mask.apply(run.net) if thin is None else thin
    split = next(name for name in ("test", "validation", "train") if name in ds.splits)
    before, after = (evaluate(one, ds, split=split, device=device) for one in (run.net, net))
    done = Run.of(net, ds, (*run.lineage, Action("sparsify", settings(mask), mask.about.seed, command)))
    done.metrics, done.history = {**after.metrics, "sparsity": mask.sparsity}, run.history
    measures = Table(
        title="Before and after sparsifying",
        alt=f"Measures of the split {split} of the dense network and of the sparse one.",
        columns=("measure", "before", "after"),
        rows=[(name, before.metrics[name], value) for name, value in after.metrics.items() if name in before.metrics],
    )
    samples = {name: one for name, one in run.evidence.items() if name.startswith("data-")}
    weights = {"weights": weight_histograms(run.net)}
    done.evidence = {**samples, **after.evidence, **mask.evidence, **weights, "sparsified": measures}
    return done


def settings(mask: Mask) -> Mapping[str, object]:
    """What a lineage keeps of a mask; the rest is in its own files."""
    about = mask.about.model_dump(
        mode="json", include={"criterion", "settings", "sparsity", "ranking", "order", "pattern"}
    )
    return {**about, "samples": mask.about.samples, "reached": mask.sparsity}
