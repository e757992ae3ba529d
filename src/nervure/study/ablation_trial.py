"""The trial ``prune-ablation``: how good criteria are, layer by layer, without training anything again.

Source: spec majority-voting-pruning, 3 (S2), 8 (Figures 6.5 to 6.7), 11 (Figures 6.8 and 6.9) and 12 (S11). Units that
a criterion calls unimportant are silenced in one layer of a trained network, accuracy on test is read, and the network
is restored; or they are cut, the layers that read them are estimated anew, and accuracy is read then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from nervure import prune
from nervure.data import Dataset, batches
from nervure.judge import Criterion, Judgement, Layer, judge, select
from nervure.nets.structure.surgery import Graph
from nervure.objectives import objective_of
from nervure.prune.scores import sample
from nervure.prune.training import cut_layer
from nervure.study.asked import Asked, accuracy, measured_on, numbered, widths
from nervure.study.base import base_of
from nervure.study.settings import FromBase, OfLayers
from nervure.study.trials import Job, Measured
from nervure.train.runtime import pick_device

__all__ = ["AblationSettings", "ablation_trial"]


class Silenced(Asked):
    """A criterion, and whether what it calls unimportant is only silenced or cut and recovered from.

    ``recover`` is ``"kernel-estimation"``, of the layers that read the units cut, or none.

    >>> Silenced(criterion="iou-vote", recover="kernel-estimation").draws
    1
    """

    recover: Literal["kernel-estimation"] | None = None


class AblationSettings(FromBase, OfLayers):
    """What the trial ``prune-ablation`` is told beside its base and which layers.

    Parameters
    ----------
    criteria : dict
        By a name of one's own: see :class:`Silenced`.
    keep : float or list of float
        Shares that stay; of several, measures end in `` keep SHARE``.
    label : str
        ``"producer"``: a layer's number is its own; ``"consumer"``: that of the layer that reads it, the next one.
    layerwise, cumulative : bool
        Whether to silence each layer alone, and all together; of these, the scores are those of the whole network.
    samples, recover_samples : int
        How many training samples criteria see, and how many a recovery reads.
    test_samples : int, optional
        How many samples of test are measured on; all by default.
    timed : bool
        Also measure how long each criterion takes to score the first layer, as ``seconds``.
    """

    trial: ClassVar[str] = "prune-ablation"

    criteria: dict[str, Silenced] = Field(min_length=1)
    keep: float | tuple[float, ...] = 0.5
    label: Literal["producer", "consumer"] = "producer"
    layerwise: bool = True
    cumulative: bool = False
    samples: int = Field(1000, ge=1)
    recover_samples: int = Field(200, ge=1)
    test_samples: int | None = Field(None, ge=1)
    timed: bool = False


def ablation_trial(job: Job) -> Measured:
    """Accuracy with the least important units of a layer silenced: measures ``CRITERION layer N``, ``... cumulative``.

    All criteria are judged in one pass over the same samples, which the seed draws; of a criterion that draws, the
    accuracy is the mean over its draws. ``intact`` is the whole network's. Where a criterion names a recovery, the
    units are cut and the accuracy is that of the recovered network.
    """
    settings = AblationSettings.read(job.settings)
    run, ds = base_of(job, settings.run, settings.base)
    ds = measured_on(ds, settings.test_samples)
    begun = time.perf_counter()
    graph, layers = numbered(run.net, ds, settings.kind, settings.first, settings.count)
    wanted = {
        (key, draw): one
        for key, asked in settings.criteria.items()
        for draw, one in enumerate(asked.made(key, job.seed))
    }
    at = sample(ds, settings.samples, job.seed)
    asked = _Asking(run.net, ds, list(batches(ds.subset(at), None, 128)), job.device)
    judged = asked.judge({f"{key}#{draw}": one for (key, draw), one in wanted.items()}, list(layers.values()))
    scored = time.perf_counter()
    silenced = _Silenced(run.net, ds, graph, job.device)
    recovered = _Recovered(run.net, ds, layers.values(), settings.recover_samples, job)
    metrics = {"intact": silenced({})}
    for key, one in settings.criteria.items():
        names = [f"{key}#{draw}" for draw in range(one.draws)]
        look = recovered if one.recover else silenced
        found = [
            _accuracies(look, settings, layers, wanted[key, draw], judged[name]) for draw, name in enumerate(names)
        ]
        metrics |= {f"{key} {name}": sum(each[name] for each in found) / len(found) for name in found[0]}
    measured = time.perf_counter()
    if settings.timed:
        first = list(layers.values())[:1]
        for key in settings.criteria:
            start = time.perf_counter()
            asked.judge({key: wanted[key, 0]}, first)
            metrics[f"{key} seconds"] = time.perf_counter() - start
    return Measured(metrics, {"score": scored - begun, "ablate": measured - scored})


def _accuracies(
    look: Callable[[Mapping[str, Tensor]], float], settings: AblationSettings, layers: Mapping[int, Layer],
    criterion: Criterion, judged: Mapping[str, Judgement],
) -> dict[str, float]:  # fmt: skip
    """Accuracy of each ablation that the settings ask for, by name."""
    found: dict[str, float] = {}
    shares = settings.keep if isinstance(settings.keep, tuple) else (settings.keep,)
    for share in shares:
        said = f" keep {share:g}" if isinstance(settings.keep, tuple) else ""
        counts = widths(share, dict(layers))
        keep = {
            layer.name: chosen(criterion, layer, judged[layer.name], counts[layer.name]) for layer in layers.values()
        }
        if settings.layerwise:
            for number, layer in layers.items():
                shown = number + (settings.label == "consumer")
                found[f"layer {shown}{said}"] = look({layer.name: keep[layer.name]})
        if settings.cumulative:
            found[f"cumulative{said}"] = look(keep)
    return found


def chosen(criterion: Criterion, layer: Layer, judged: Judgement, count: int) -> Tensor:
    """The units that stay, ascending: by the criterion's own choice where it makes one, else by its scores.

    >>> layer = Layer("fc", nn.Linear(2, 3), 3)
    >>> chosen(Criterion(), layer, Judgement(torch.tensor([1.0, 3.0, 2.0])), 2)
    tensor([1, 2])
    """
    choose = getattr(criterion, "choose", None)
    if choose is not None:
        own: Tensor = choose(layer, judged, count)
        return own.cpu().sort().values
    return select(judged.scores, count, judged.tiebreak)


class _Asking:
    """A network, the batches that criteria see, and where."""

    def __init__(self, net: nn.Module, ds: Dataset, seen: Sequence[Any], device: str) -> None:
        self.net, self.seen, self.place = net, seen, pick_device(device)
        self.objective = objective_of(ds.task)

    def judge(self, criteria: Mapping[str, Criterion], layers: Sequence[Layer]) -> dict[str, dict[str, Judgement]]:
        wants = any(one.needs_gradient for one in criteria.values())
        objective = self.objective if wants else None
        return judge(self.net, self.seen, criteria, layers=layers, objective=objective, device=self.place)


class _Silenced:
    """Accuracy on test with only some units of some layers left on."""

    def __init__(self, net: nn.Module, ds: Dataset, graph: Graph, device: str) -> None:
        self.net, self.ds, self.graph, self.device = net, ds, graph, device

    def __call__(self, keep: Mapping[str, Tensor]) -> float:
        with prune.ablated(self.net, keep, graph=self.graph) as net, torch.no_grad():
            return accuracy(net, self.ds, device=self.device)


class _Recovered:
    """Accuracy on test with only some units of some layers left, and the layers that read them estimated anew."""

    def __init__(self, net: nn.Module, ds: Dataset, layers: Iterable[Layer], samples: int, job: Job) -> None:
        self.net, self.ds, self.samples, self.job = net, ds, samples, job
        self.consumers = {layer.name: layer.consumers for layer in layers}
        self.example = ds.batch(ds.indices("train")[:3]).x

    def __call__(self, keep: Mapping[str, Tensor]) -> float:
        kept = {name: tuple(units.tolist()) for name, units in keep.items()}
        readers = tuple(dict.fromkeys(one for name in kept for one in self.consumers[name]))
        small = prune.recover(
            cut_layer(self.net, kept, self.example), self.net, self.ds, method="kernel-estimation", kept=kept,
            samples=self.samples, seed=self.job.seed, layers=readers, device=self.job.device,
        )  # fmt: skip
        return accuracy(small, self.ds, device=self.job.device)
