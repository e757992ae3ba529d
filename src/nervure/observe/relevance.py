"""Layer-wise relevance: how much each unit contributed to the logit of the true class.

Relevance starts at that logit and is handed back by the alpha = 1, beta = 0 rule (spec majority-voting-pruning,
12), so that a layer as a whole holds as much as the next: what a unit holds is its share of the decision.

Of a product of two activations the signal receives all and its gate nothing. The signal is the larger one, which the
gate is widened to. Of equal sizes the gate is what a sigmoid or softmax made, and what is made of such values alone;
if neither is one, or both are, each receives half, so that their order does not matter. A divisor receives nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.objectives.call import call
from nervure.observe import ranks
from nervure.observe.borrowed import borrowed
from nervure.observe.layout import examples_first, unit_axis
from nervure.observe.rewritten import KINDS, Call, Rewritten, running, tensors_of
from nervure.observe.statistic import Statistic
from nervure.observe.summary import flat
from nervure.observe.sums import Sums, count

__all__ = ["Relevance", "RelevanceResult", "relevance"]

Map = Callable[[Tensor, Tensor], Tensor]
STABILISER = 1e-9
SQUASHED = frozenset({"hardsigmoid", "sigmoid", "softmax"})  # to values from 0 to 1


def handed_back(x: Tensor, weight: Tensor, operation: Map, received: Tensor) -> Tensor:
    """Relevance of the inputs ``x`` of a linear ``operation(x, weight)`` whose outputs received some.

    ``z_j = sum_i (a_i+ w_ij+ + a_i- w_ij-) + 1e-9``, ``R_i = sum_j (a_i+ w_ij+ + a_i- w_ij-) / z_j R_j``.

    >>> x, w = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 1.0], [1.0, -1.0]])
    >>> handed_back(x, w, lambda a, v: a @ v.T, torch.tensor([[5.0, 1.0]]))
    tensor([[4., 2.]])
    """
    with torch.enable_grad():
        positive = x.detach().clamp(min=0).requires_grad_()
        negative = x.detach().clamp(max=0).requires_grad_()
        z = operation(positive, weight.clamp(min=0)) + operation(negative, weight.clamp(max=0))
        shares = received / (z.detach() + STABILISER)
        up, down = torch.autograd.grad(z, (positive, negative), shares)
    return (positive * up + negative * down).detach()


def split_shares(first: Tensor, second: Tensor) -> Tensor:
    """Share of ``first`` in a sum: in proportion to positive parts, else to magnitudes, else a half.

    >>> split_shares(torch.tensor([3.0, 1.0, -1.0, 0.0]), torch.tensor([1.0, -5.0, -3.0, 0.0]))
    tensor([0.7500, 1.0000, 0.2500, 0.5000])
    """
    a, b = first.clamp(min=0), second.clamp(min=0)
    none = (a + b) == 0
    a, b = torch.where(none, first.abs(), a), torch.where(none, second.abs(), b)
    total = a + b
    return torch.where(total > 0, a / torch.where(total > 0, total, 1.0), 0.5)


class _Handed(torch.autograd.Function):
    """An operation whose gradient is relevance handed back by a rule."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor, rule: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.rule = rule
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *received: Any) -> Any:
        return ctx.rule(received[0]), None, None


class _Split(torch.autograd.Function):
    """An operation on two, the first of which receives a share of the relevance and the second the rest."""

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, value: Tensor, share: Tensor) -> Tensor:
        ctx.save_for_backward(share)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *received: Any) -> Any:
        (share,) = ctx.saved_tensors
        return received[0] * share, received[0] * (1 - share), None, None


@dataclass(frozen=True, eq=False)
class _Source:
    """The linear map that a value came from, for a batch norm that follows to be folded into."""

    out: Tensor
    x: Tensor
    weight: Tensor
    operation: Map
    layer: str | None


class _Backward(Rewritten):
    """The network itself, with gradients that are relevance."""

    purpose = "layer-wise relevance"

    def __init__(self) -> None:
        super().__init__()
        self.received: dict[str, list[Tensor]] = {}
        self.sources: dict[int, _Source] = {}
        self.gates: dict[int, Tensor] = {}

    def followed(self, call: Call) -> Any:
        out = super().followed(call)
        # An operation named like expand_as takes no more than a shape from what else it is given.
        given = call.args[:1] if call.name.endswith("_as") else (*call.args, *call.kwargs.values())
        made_of = [one for one in tensors_of(given) if one.requires_grad]
        kept = KINDS.get(call.name) not in ("weighted", "norm") and all(id(one) in self.gates for one in made_of)
        if kept or call.name in SQUASHED:
            self.gates.update((id(one), one) for one in tensors_of((out,)))
        return out

    def weighted(self, call: Call) -> Tensor:
        x, weight = call.given(0, "input"), call.given(1, "weight").detach()
        kwargs = {name: value for name, value in call.kwargs.items() if name not in ("input", "weight", "bias")}

        def operation(a: Tensor, w: Tensor) -> Tensor:
            result: Tensor = call.function(a, w, None, *call.args[3:], **kwargs)
            return result

        out = self._mapped(x, weight, operation, call.run(), self.layer)
        self.sources[id(out)] = _Source(out, x, weight, operation, self.layer)
        return out

    def _mapped(self, x: Tensor, weight: Tensor, operation: Map, value: Tensor, layer: str | None) -> Tensor:
        def rule(received: Tensor) -> Tensor:
            if layer is not None:
                self.received.setdefault(layer, []).append(received)
            return handed_back(x, weight, operation, received)

        return _handed(x, value, rule)

    def norm(self, call: Call) -> Tensor:
        x = call.args[0]
        value = call.run()
        source = self.sources.get(id(x))
        variance = call.given(2, "running_var") if call.name == "batch_norm" else None
        if source is None or variance is None:
            return _handed(x, value, lambda received: received)
        scale = 1 / (variance + float(call.given(7, "eps", 1e-5))).sqrt()
        gamma = call.given(3, "weight")
        scale = scale if gamma is None else scale * gamma.detach()
        folded = source.weight * scale.view(-1, *[1] * (source.weight.ndim - 1))
        return self._mapped(source.x, folded, source.operation, value, source.layer)

    def passed(self, call: Call) -> Tensor:
        x = next(one for one in call.args if isinstance(one, Tensor) and one.requires_grad)
        return _handed(x, call.run(), lambda received: received)

    def picked(self, call: Call) -> Any:
        return call.run()

    def averaged(self, call: Call) -> Any:
        x = call.args[0]

        def rule(received: Tensor) -> Tensor:
            def operation(a: Tensor, _: Tensor) -> Tensor:
                out: Tensor = call.function(a, *call.args[1:], **call.kwargs)
                return out

            # A little everywhere, so that what fell on places without activation is not lost.
            return handed_back(x.clamp(min=0) + 1e-6, x.new_ones(()), operation, received)

        return _handed(x, call.run(), rule)

    def added(self, call: Call) -> Tensor:
        return self._sum(call, 1.0)

    def subtracted(self, call: Call) -> Tensor:
        return self._sum(call, -1.0)

    def _sum(self, call: Call, sign: float) -> Tensor:
        value = call.run()
        first, second = call.args[1::-1] if "rsub" in call.name else call.args[:2]
        tracked = [one for one in (first, second) if isinstance(one, Tensor) and one.requires_grad]
        if len(tracked) == 1:
            # A constant is like a bias: it receives nothing.
            return _handed(tracked[0], value, lambda received: _fitted(received, tracked[0]))
        sign *= float(call.kwargs.get("alpha", 1))
        first, second = first.expand_as(value), _signed(second, sign).expand_as(value)
        out: Tensor = _Split.apply(first, second, value, split_shares(first, second))  # type: ignore[no-untyped-call]
        return out

    def scaled(self, call: Call) -> Tensor:
        value = call.run()
        factors = [one for one in call.args[:2] if isinstance(one, Tensor) and one.requires_grad]
        factors = factors[:1] if "div" in call.name else factors
        largest = max(one.numel() for one in factors)
        factors = [one for one in factors if one.numel() == largest]
        factors = [one for one in factors if id(one) not in self.gates] or factors
        if len(factors) == 1:
            return _handed(factors[0], value, lambda received: _fitted(received, factors[0]))
        first, second = (one.expand_as(value) for one in factors)
        out: Tensor = _Split.apply(first, second, value, value.new_full((), 0.5))  # type: ignore[no-untyped-call]
        return out


def _handed(x: Tensor, value: Tensor, rule: Callable[[Tensor], Tensor]) -> Tensor:
    out: Tensor = _Handed.apply(x, value.detach(), rule)  # type: ignore[no-untyped-call]
    return out


def _signed(x: Tensor, sign: float) -> Tensor:
    """``sign * x``, through which relevance passes unchanged."""
    return x if sign == 1.0 else _handed(x, sign * x.detach(), lambda received: received)


def _fitted(received: Tensor, x: Tensor) -> Tensor:
    """What a broadcast ``x`` receives: the sum over its copies."""
    return received.sum_to_size(x.shape)


@dataclass(frozen=True, eq=False)
class RelevanceResult:
    """``units`` (units,) float64 mean relevance of an example; ``start`` the mean logit that it began as.

    The rule conserves: ``units.sum()`` equals ``start`` for a layer through which all must pass, unless there
    are logits to which nothing adds, whose relevance has nowhere to go.
    """

    units: Tensor
    start: float


class Relevance(Sums):
    """Relevance of each unit, summed over positions and averaged over examples.

    >>> one = Relevance()
    >>> one.update(torch.tensor([[[1.0, 2.0], [0.0, 4.0]]]), None)
    >>> one.result().units
    tensor([3., 4.], dtype=torch.float64)
    """

    @property
    def key(self) -> tuple[str]:  # noqa: D102
        return ("relevance",)

    def update(  # noqa: D102
        self,
        activation: Tensor,
        batch: Batch | None,
        gradient: Tensor | None = None,
        incoming: Tensor | None = None,
    ) -> None:
        self.add(units=flat(activation).to(torch.float64).sum((0, 2)))

    def started(self, logits: Tensor) -> None:
        """Take in the logits (n,) that relevance began as, once a batch."""
        self.add(start=logits.detach().to(torch.float64).sum(), examples=count(len(logits)))

    def result(self) -> RelevanceResult:  # noqa: D102
        n = int(self._sums["examples"]) if "examples" in self._sums else 1
        start = float(self._sums["start"]) / n if "start" in self._sums else 0.0
        return RelevanceResult(self.total("units") / n, start)


def relevance(net: nn.Module, batches: Iterable[Batch], layers: Sequence[str]) -> Mapping[str, RelevanceResult]:
    """Relevance of the units of ``layers`` for the true classes of ``batches``; ``net`` is left as it was.

    Batch norm that directly follows a linear layer or convolution is folded into it.

    >>> net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False))
    >>> for layer, values in ((net[0], [[1.0, 0.0], [0.0, 2.0]]), (net[2], [[1.0, 1.0]])):
    ...     _ = layer.weight.data.copy_(torch.tensor(values))
    >>> batch = Batch(torch.tensor([[1.0, 1.0]]), torch.tensor([0]), torch.tensor([0]))
    >>> relevance(net, [batch], ["0"])["0"].units
    tensor([1., 2.], dtype=torch.float64)
    """
    found: dict[str, Statistic] = {name: Relevance() for name in layers}
    error: Exception | None = None
    try:
        with borrowed(net, frozen=True) as device:
            for batch in batches:
                _one_batch(net, batch.to(device), found)  # type: ignore[arg-type]
    except Exception as met:
        error = met
    ranks.agree(error)
    merged = {name: ranks.merged(one) for name, one in found.items()}
    for name, one in merged.items():
        if "units" not in one.state():
            raise InputError(
                f"no relevance reached layer {name!r}, because no output depends on it, or it only scales others; "
                "exclude it, or use another criterion"
            )
    return {name: one.result() for name, one in merged.items()}  # type: ignore[misc]


def _one_batch(net: nn.Module, batch: Batch, found: Mapping[str, Relevance]) -> None:
    if batch.y is None or batch.y.is_floating_point() or bool((batch.y < 0).any()):
        raise InputError("layer-wise relevance needs a class label for each example; give labelled data")
    if not batch.x.is_floating_point():
        raise InputError(f"layer-wise relevance is handed back to real numbers, and samples are {batch.x.dtype}")
    mode = _Backward()
    with torch.inference_mode(False), torch.enable_grad():
        x = batch.x.detach().clone().requires_grad_()
        with running(net, mode, list(found)):
            out = call(net, batch._replace(x=x))
        if out.ndim != 2:
            raise InputError(f"outputs of shape {tuple(out.shape)}; relevance needs one logit a class")
        logits = out.gather(1, batch.y[:, None])
        start = torch.zeros_like(out).scatter_(1, batch.y[:, None], logits.detach())
        torch.autograd.grad(out, x, start, allow_unused=True)
    for name, statistic in found.items():
        module = net.get_submodule(name)
        for part in mode.received.get(name, ()):
            statistic.update(examples_first(part, module, unit_axis(module), name), None)
        statistic.started(logits[:, 0])
