"""What a plan's criteria rest on, as figures, beside what stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from nervure.evidence import Figure, Table
from nervure.judge import Judgement, Layer

__all__ = ["criteria_figures", "findings", "notes_table"]

PLAIN = (bool, int, float, str)

Verdicts = Mapping[str, Mapping[str, Judgement]]


def criteria_figures(
    found: Verdicts, layers: Sequence[Layer], masks: Mapping[str, Tensor], dead: Mapping[str, Tensor]
) -> dict[str, Figure]:
    """The figures of each criterion and layer, under names that a run's folder takes.

    Parameters
    ----------
    found : mapping of criterion to mapping of layer to Judgement
    layers : sequence of Layer
    masks : mapping of layer to Tensor
        (units,) bool: True stays.
    dead : mapping of layer to Tensor
        (units,) bool, of :func:`~nervure.prune.dead.dead_units`.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from nervure.prune.criteria.norms import L1
    >>> layer = Layer("fc.0", nn.Linear(2, 2), 2)
    >>> judged = {"l1": {"fc.0": L1().judge(layer, {"weight": layer.module.weight}, {})}}
    >>> list(criteria_figures(judged, [layer], {"fc.0": torch.tensor([True, False])}, {}))
    ['plan-l1-notes', 'plan-l1-fc-0']
    """
    figures: dict[str, Figure] = {}
    for name, by_layer in found.items():
        figures[_file(name, "notes")] = notes_table(name, by_layer, layers, masks, dead)
        for layer, judged in by_layer.items():
            for at, figure in enumerate(judged.figures(masks[layer])):
                figures[_file(name, layer, *([str(at)] if at else []))] = figure
    return figures


def findings(found: Verdicts) -> dict[str, dict[str, dict[str, object]]]:
    """Of each criterion and layer: the scores of its units, and what it noted, as far as that is plain.

    >>> import torch
    >>> findings({"mine": {"fc": Judgement(torch.tensor([2.0, 1.0]), notes={"ties": 0})}})
    {'mine': {'fc': {'scores': [2.0, 1.0], 'ties': 0}}}
    """
    return {
        name: {
            layer: {
                "scores": judged.scores.flatten().tolist(),
                **{key: value for key, value in judged.notes.items() if isinstance(value, PLAIN)},
            }
            for layer, judged in by_layer.items()
        }
        for name, by_layer in found.items()
    }


def notes_table(
    name: str,
    judged: Mapping[str, Judgement],
    layers: Sequence[Layer],
    masks: Mapping[str, Tensor],
    dead: Mapping[str, Tensor],
) -> Table:
    """What a criterion noted of each layer, as far as it is plain, and how many dead units stay.

    >>> import torch
    >>> from torch import nn
    >>> layer, dead = Layer("fc", nn.Linear(2, 2), 2), {"fc": torch.tensor([True, False])}
    >>> judged = {"fc": Judgement(torch.ones(2), notes={"ties": 2})}
    >>> notes_table("l1", judged, [layer], {"fc": torch.tensor([True, False])}, dead).rows
    (('fc', 2, 1),)
    """
    known = dict.fromkeys(
        key for one in judged.values() for key, value in one.notes.items() if isinstance(value, PLAIN)
    )
    lines, staying = [], 0
    for layer in layers:
        notes = judged[layer.name].notes
        own = [value if isinstance(value := notes.get(key), PLAIN) else None for key in known]
        still = int((dead[layer.name] & masks[layer.name]).sum()) if layer.name in dead else None
        lines.append((layer.name, *own, still))
        staying += still or 0
    return Table(
        title=f"What {name} noted of each layer",
        alt=f"{len(lines)} layers; {staying} units stay dead: without weight, or silenced by their batch norm.",
        columns=["layer", *(key.replace("_", " ") for key in known), "stay dead"],
        rows=lines,
    )


def _file(*words: str) -> str:
    return "".join(one if one.isalnum() else "-" for one in "-".join(("plan", *words)))
