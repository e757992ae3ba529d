"""A sparsified network as a run: measured before and after, with its mask beside it and the evidence for it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from torch import nn

from nervure.data.dataset import Dataset
from nervure.evidence import Figure, Table
from nervure.features.inf_fs import MOST
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
    before: Run | None = None,
    units: Compacted | None = None,
    figures: Mapping[str, Figure] | None = None,
    device: str = "auto",
    command: str = "",
) -> Run:
    """The run of ``run.net`` under ``mask``, or of ``thin`` made of that: measured on the test split, or what there is.

    It is compared with ``run``, or with the run ``before`` that. Its evidence holds the mask's figures, the weights by
    layer, the measures before and after, of ``units`` the table, and ``figures``.

    >>> import nervure as nv
    >>> ds = nv.data.load("digits")
    >>> run = nv.store.Run.of(nv.nets.build("lenet5", ds), ds)
    >>> done = sparsified_run(run, ds, nv.sparsify.plan(run.net, ds, "magnitude", 0.5), device="cpu")
    >>> done.lineage[-1].name, round(done.metrics["sparsity"], 3)
    ('sparsify', 0.5)
    """
    net = mask.apply(run.net) if thin is None else thin
    split = next(name for name in ("test", "validation", "train") if name in ds.splits)
    first = run.net if before is None else before.net
    found, after = (evaluate(one, ds, split=split, device=device) for one in (first, net))
    done = Run.of(net, ds, (*run.lineage, Action("sparsify", settings(mask), mask.about.seed, command)))
    layers = tuple(mask.masks)
    done.metrics = {**after.metrics, "sparsity": _unused(mask.bake(run.net), layers), "bytes": float(stored_bytes(net))}
    done.history = run.history
    earlier = {**found.metrics, "sparsity": _unused(bake(first), layers), "bytes": float(stored_bytes(first))}
    measures = Table(
        title="Before and after sparsifying",
        alt=f"Measures of the split {split} of the network that was given and of the sparse one.",
        columns=("measure", "before", "after"),
        rows=[(name, earlier[name], value) for name, value in done.metrics.items() if name in earlier],
    )
    samples = {name: one for name, one in run.evidence.items() if name.startswith("data-") or name == "sparse-training"}
    own = {"sparsified": measures, **mask.evidence, "weights": weight_histograms(run.net, 31), **(figures or {})}
    if units is not None and units.table().rows:
        own["units"] = units.table()
    done.evidence = {**samples, **after.evidence, **own}
    return done


def _unused(net: nn.Module, layers: Sequence[str]) -> float:
    """The share of edges that are zero."""
    weights = [weight_of(net.get_submodule(name)) for name in layers]
    edges = sum(one.numel() for one in weights)
    return 1 - sum(int(one.count_nonzero()) for one in weights) / edges if edges else 0.0


def settings(mask: Mask) -> Mapping[str, object]:
    """What a lineage keeps of a mask; the rest is in its own files."""
    about = mask.about.model_dump(
        mode="json", include={"criterion", "settings", "sparsity", "ranking", "order", "pattern"}
    )
    return {**about, "samples": mask.about.samples, "reached": mask.sparsity}


def trained_mask(net: nn.Module, layers: Sequence[str] | None = None, **about: object) -> Mask:
    """The mask of a network that lost its edges in training: what is not zero stays; ``about`` says how it came.

    It is of ``layers``, if given, and otherwise of all that can lose edges.

    >>> net = nn.Sequential(nn.Linear(2, 1), nn.Linear(1, 1)).requires_grad_(False)
    >>> net[0].weight[0, 0] = 0
    >>> found = trained_mask(net, criterion="magnitude", sparsity=0.5)
    >>> found.about.criterion, {row.layer: row.kept for row in found.rows}
    ('magnitude', {'0': 1, '1': 1})
    """
    plain = bake(net)
    masks = {name: weight_of(module).detach() != 0 for name, module in prunable(plain, layers).items()}
    return Mask.for_net(plain, masks, **about)  # type: ignore[arg-type]


def beside(net: nn.Module, mask: Mask, others: tuple[str, ...] = ("magnitude", "random")) -> dict[str, Mask]:
    """The mask, and those that criteria of weights alone give under the same terms, with as many edges gone.

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
    }  # fmt: skip
    if about.pattern is None:
        reached = {row.layer: row.sparsity for row in mask.rows}
        terms["sparsity"] = mask.sparsity if about.ranking == "global" else reached
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

    Of a mask that came with training, whose removed weights are gone, there is the picture alone.

    >>> from nervure import nets
    >>> net = nets.build("lenet5", in_shape=(1, 28, 28), classes=10)
    >>> list(mask_figures(net, plan(net, None, "isparse", 0.5, initial="identity")))
    ['sparsity', 'agreement', 'masks']
    """
    trained = bool(mask.about.notes.get("trained"))
    masks = {mask.about.criterion: mask} if trained else beside(net, mask)
    found: dict[str, Figure] = {} if trained else {"sparsity": sparsity_bars(masks), "agreement": agreement(masks)}
    layer = _pictured(mask)
    if layer is not None:
        shape = mask.masks[layer].shape
        found["masks"] = mask_pictures(masks, layer, scale=1, across=shape[0] > shape[1])
    if (
        not trained
        and mask.about.criterion == "isparse"
        and ds is not None
        and ds.task == "classification"
        and 2 < ds.classes <= MOST
    ):
        found["initial"] = initial_scores(net, ds, samples=mask.about.samples or 2000, seed=mask.about.seed)
    return found


def _pictured(mask: Mask) -> str | None:
    """The layer to draw: the largest convolution that still shows its edges, or else the largest such linear layer."""
    rows = [row for row in mask.rows if row.edges <= _PICTURED and len(row.shape) in (2, 3, 4)]
    rows.sort(key=lambda row: (len(row.shape) > 2, row.edges))
    return rows[-1].layer if rows else None


def save_sparsified(path: Path | str, run: Run, mask: Mask, *, overwrite: bool = False) -> Path:
    """Write a sparsified run and its mask; the record comes last, so the folder is whole or no run."""
    with folder.anew(path, run, overwrite=overwrite) as place:
        mask.save(place / MASK)
    return Path(path)
