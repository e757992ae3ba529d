"""A sparsified network as a run: measured before and after, with its mask beside it and the evidence for it."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from torch import nn

from nervure.data.dataset import Dataset
from nervure.evidence import Figure, Table
from nervure.sparsify.compact import Compacted
from nervure.sparsify.figures import agreement, initial_scores, mask_pictures, sparsity_bars, weight_histograms
from nervure.sparsify.layers import prunable, weight_of
from nervure.sparsify.mask import Mask
from nervure.sparsify.masked import bake
from nervure.sparsify.plan import plan
from nervure.sparsify.size import stored_bytes
from nervure.store import Action, Run, folder
from nervure.train.evaluate import evaluate

__all__ = ["beside", "mask_figures", "save_sparsified", "settings", "sparsified_run", "trained_mask"]

MASK = "mask.json"
"""The file beside a run's own that keeps the mask; its bits are in ``mask.safetensors``."""

# A picture of more edges than this shows none of them.
_PICTURED = 40_000


def sparsified_run(
    run: Run,
    ds: Dataset,
    mask: Mask,
    thin: nn.Module | None = None,
    *,
    units: Compacted | None = None,
    figures: Mapping[str, Figure] | None = None,
    device: str = "auto",
    command: str = "",
) -> Run:
    """The run of ``run.net`` under ``mask``, or of ``thin`` made of that: measured on the test split, or what there is.

    Its evidence holds the mask's figures, the weights by layer, the measures before and after, of ``units`` the table,
    and ``figures``.

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
    done.metrics = {**after.metrics, "sparsity": mask.sparsity, "bytes": float(stored_bytes(net))}
    done.history = run.history
    earlier = {**before.metrics, "sparsity": 0.0, "bytes": float(stored_bytes(run.net))}
    measures = Table(
        title="Before and after sparsifying",
        alt=f"Measures of the split {split} of the dense network and of the sparse one.",
        columns=("measure", "before", "after"),
        rows=[(name, earlier[name], value) for name, value in done.metrics.items() if name in earlier],
    )
    samples = {name: one for name, one in run.evidence.items() if name.startswith("data-")}
    own = {"sparsified": measures, **mask.evidence, "weights": weight_histograms(run.net, 31), **(figures or {})}
    if units is not None and units.table().rows:
        own["units"] = units.table()
    done.evidence = {**samples, **after.evidence, **own}
    return done


def settings(mask: Mask) -> Mapping[str, object]:
    """What a lineage keeps of a mask; the rest is in its own files."""
    about = mask.about.model_dump(
        mode="json", include={"criterion", "settings", "sparsity", "ranking", "order", "pattern"}
    )
    return {**about, "samples": mask.about.samples, "reached": mask.sparsity}


def trained_mask(net: nn.Module, **about: object) -> Mask:
    """The mask of a network that lost its edges in training: what is not zero stays; ``about`` says how it came.

    >>> net = nn.Sequential(nn.Linear(2, 1), nn.Linear(1, 1)).requires_grad_(False)
    >>> net[0].weight[0, 0] = 0
    >>> found = trained_mask(net, criterion="magnitude", sparsity=0.5)
    >>> found.about.criterion, {row.layer: row.kept for row in found.rows}
    ('magnitude', {'0': 1, '1': 1})
    """
    plain = bake(net)
    masks = {name: weight_of(module).detach() != 0 for name, module in prunable(plain).items()}
    return Mask.for_net(plain, masks, **about)  # type: ignore[arg-type]


def beside(net: nn.Module, mask: Mask, others: tuple[str, ...] = ("magnitude", "random")) -> dict[str, Mask]:
    """The mask, and those that criteria of weights alone give under the same terms.

    >>> from nervure import nets
    >>> net = nets.build("mlp", in_shape=(4,), classes=3, widths=[8])
    >>> found = beside(net, plan(net, None, "isparse", 0.5, initial="identity"))
    >>> list(found), found["random"].sparsity
    (['isparse', 'magnitude', 'random'], 0.5)
    """
    about = mask.about
    terms: dict[str, object] = {
        "ranking": about.ranking, "order": "input-to-output", "pattern": about.pattern, "seed": about.seed,
        "layers": [row.layer for row in mask.rows], "allow_empty": True,
        "sparsity": None if about.pattern else about.sparsity,
    }  # fmt: skip
    found = {about.criterion: mask}
    with _silent():
        for name in others:
            if name != about.criterion:
                found[name] = plan(net, None, name, **terms)  # type: ignore[arg-type]
    return found


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Warnings of masks that nobody asked for would be taken for those of the one that was."""
    log = logging.getLogger("nervure.sparsify.plan")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def mask_figures(net: nn.Module, mask: Mask, ds: Dataset | None = None) -> dict[str, Figure]:
    """How the mask differs from magnitude's and from chance: sparsity, agreement, pictures, scores of the outputs.

    >>> from nervure import nets
    >>> net = nets.build("lenet5", in_shape=(1, 28, 28), classes=10)
    >>> list(mask_figures(net, plan(net, None, "isparse", 0.5, initial="identity")))
    ['sparsity', 'agreement', 'masks']
    """
    masks = beside(net, mask)
    found: dict[str, Figure] = {"sparsity": sparsity_bars(masks), "agreement": agreement(masks)}
    layer = _pictured(mask)
    if layer is not None:
        shape = mask.masks[layer].shape
        found["masks"] = mask_pictures(masks, layer, scale=1, across=shape[0] > shape[1])
    if mask.about.criterion == "isparse" and ds is not None and ds.task == "classification" and ds.classes > 2:
        found["initial"] = initial_scores(net, ds, samples=mask.about.samples or 2000, seed=mask.about.seed)
    return found


def _pictured(mask: Mask) -> str | None:
    """The layer to draw: the largest convolution that still shows its edges, or else the largest such linear layer."""
    rows = [row for row in mask.rows if row.edges <= _PICTURED and len(row.shape) in (2, 3, 4)]
    rows.sort(key=lambda row: (len(row.shape) > 2, row.edges))
    return rows[-1].layer if rows else None


def save_sparsified(path: Path | str, run: Run, mask: Mask, *, overwrite: bool = False) -> Path:
    """Write a sparsified run and its mask; the record comes last, so the folder is whole or no run."""
    path = folder.claim(path, overwrite=overwrite)
    fresh = not path.exists()
    if not fresh:
        folder.discard(path)
    try:
        mask.save(path / MASK)
        return folder.write(path, run)
    except BaseException:
        if fresh and path.exists():
            shutil.rmtree(path, ignore_errors=True)
        raise
