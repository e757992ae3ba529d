"""NISP: importance of the final response pushed back to every unit."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.features.inf_fs import MOST, inf_fs
from nervure.judge import Criterion, Judgement, Layer, Probe, Wanted
from nervure.observe.absolute import backed_scores
from nervure.observe.statistic import Site
from nervure.prune.criteria.readers import captured
from nervure.prune.criteria.rows import Rows
from nervure.prune.criteria.seen import example_of
from nervure.prune.criteria.verdict import verdict

__all__ = ["NISP", "Responses", "final_scores"]


class Responses(Rows):
    """The first samples' outputs, after softmax."""

    @property
    def key(self) -> Hashable:  # noqa: D102
        return ("responses", self.limit)

    def update(  # noqa: D102
        self,
        activation: Tensor,
        batch: Batch | None,
        gradient: Tensor | None = None,
        incoming: Tensor | None = None,
    ) -> None:
        super().update(activation.softmax(1), batch)


def final_scores(responses: Tensor) -> Tensor:
    """(outputs,) Inf-FS scores of responses (samples, outputs); ones for one or two outputs.

    Inf-FS finds two outputs of a softmax alike, so all alike is what it would say.

    >>> final_scores(torch.eye(2))
    tensor([1., 1.], dtype=torch.float64)
    """
    if responses.shape[1] < 3:
        return torch.ones(responses.shape[1], dtype=torch.float64)
    if responses.shape[1] > MOST:
        raise InputError(
            f"nisp compares at most {MOST} outputs with each other, and there are {responses.shape[1]}; "
            "final=ones gives all the same score"
        )
    return torch.from_numpy(inf_fs(responses.to(torch.float64).numpy()))


class Network:
    """The network whose scores are pushed back, once for all of its layers."""

    def __init__(self, net: nn.Module, example: Batch, layers: Sequence[str]) -> None:
        self.net, self.example, self.layers = net, example, layers
        self._scores: Mapping[str, Tensor] | None = None

    def scores(self, responses: Tensor | None) -> Mapping[str, Tensor]:
        """Scores by layer from the outputs' responses; all outputs alike without any."""
        if self._scores is None:
            if responses is None:
                out = captured(self.net, self.example, [Site("")])[Site("")]
                final = torch.ones(out.shape[1], dtype=torch.float64)
            else:
                final = final_scores(responses)
            self._scores = backed_scores(self.net, self.example.x, final, self.layers)
        return self._scores


@dataclass(frozen=True)
class NISP(Criterion):
    """``N_{l-1} = |W_l|^T N_l`` from scores of the outputs (spec isparse, 2.2, 2.3 and 2.10).

    Parameters
    ----------
    final : {"inf-fs", "ones"}
        Scores of the outputs: infinite feature selection over their responses, or all alike.
    samples : int
        How many samples' responses.

    Examples
    --------
    >>> NISP(final="ones").needs_labels
    False
    """

    final: Literal["inf-fs", "ones"] = "inf-fs"
    samples: int = 2000
    _network: Network | None = field(default=None, repr=False, compare=False, metadata={"option": False})

    def __post_init__(self) -> None:
        if self.final not in ("inf-fs", "ones"):
            raise InputError(f"final = {self.final!r}; give inf-fs or ones")
        if self.samples < 1:
            raise InputError(f"samples = {self.samples}; give 1 or more")

    def prepare(self, net: nn.Module, batches: Iterable[Batch], layers: Sequence[Layer]) -> NISP:  # noqa: D102
        return replace(self, _network=Network(net, example_of(batches), [layer.name for layer in layers]))

    def wants(self, layer: Layer) -> Mapping[str, Wanted]:  # noqa: D102
        return {} if self.final == "ones" else {"responses": (Site(""), Responses(self.samples))}

    def judge(  # noqa: D102
        self,
        layer: Layer,
        weights: Mapping[str, Tensor],
        results: Mapping[str, object],
        probe: Probe | None = None,
    ) -> Judgement:
        if self._network is None:
            raise InputError(f"layer {layer.name!r}: NISP must be prepared; judge with nervure.judge.judge")
        responses = results.get("responses")
        scores = self._network.scores(responses if isinstance(responses, Tensor) else None)
        return verdict(layer, "propagated importance", scores[layer.name], final=self.final)
