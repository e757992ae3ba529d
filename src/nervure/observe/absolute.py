"""Scores pushed back from the outputs through absolute weights, on any network.

The network is run as a linear one: weights by magnitude, no bias, activations left out, maxima as means, batch
norm as its folded positive scale. On an input of ones, the gradient at a layer's output under the outputs' scores
is that layer's scores (spec isparse, 2.3 and 2.7).

A factor that is no activation is a weight. Of a product of two activations (a gate and its signal, queries and keys)
each counts as if the other were one: both get the product's score, as both branches of a sum do.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nervure.errors import InputError
from nervure.observe.borrowed import borrowed
from nervure.observe.layout import examples_first, unit_axis
from nervure.observe.rewritten import KINDS, Call, Rewritten, name_of, running
from nervure.observe.summary import flat
from nervure.registry import nearest

__all__ = ["Absolute", "Norms", "Rule", "backed_scores", "outputs_of"]

Norms = Literal["fold", "ignore"]
Rule = str | Callable[[Call], Any]

_ELEMENTWISE = frozenset({
    "__neg__", "__pow__", "__rdiv__", "abs", "exp", "log", "log1p", "neg", "normalize", "pow", "reciprocal", "rsqrt",
    "sqrt", "square",
})  # fmt: skip
_RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), "weighted"),
    **dict.fromkeys(("__matmul__", "__rmatmul__", "bmm", "einsum", "matmul", "mm", "mv"), "multiplied"),
    **dict.fromkeys(_ELEMENTWISE, "passed"),
    **dict.fromkeys(("gru", "lstm", "rnn_relu", "rnn_tanh"), "recurrent"),
    **dict.fromkeys(("masked_fill", "where"), "chosen"),
    "cdist": "distances",
    "multi_head_attention_forward": "headed",
    "scaled_dot_product_attention": "attended",
}


class Absolute(Rewritten):
    """The absolute linear network of spec isparse, 2.7; keeps the output of each watched layer.

    Parameters
    ----------
    norms : str
        ``"fold"``: a norm is its positive scale. ``"ignore"``: it is left out.
    rules : mapping of str to str or callable
        What stands for operations that have no rule, by the operation's name: the name of a kind that has one
        (``"passed"``, as activations are; ``"averaged"``, ``"shaped"``, ...), or a function of a
        :class:`~nervure.observe.rewritten.Call` that gives the result; None where the caller cannot give any.
    dtype : torch.dtype
        What sums are computed in.

    Examples
    --------
    >>> layer = nn.Linear(2, 1, bias=False).requires_grad_(False)
    >>> x = torch.ones(1, 2, requires_grad=True)
    >>> with Absolute():
    ...     out = layer(x)
    >>> bool(torch.isclose(out, layer.weight.abs().sum().double()))
    True
    """

    purpose = "backward propagation of scores"

    def __init__(
        self, norms: Norms = "fold", rules: Mapping[str, Rule] | None = None, dtype: torch.dtype = torch.float64
    ) -> None:
        super().__init__()
        self.outputs: dict[str, list[Tensor]] = {}
        self.cuts: dict[str, None] = {}
        self.norms, self.dtype = norms, dtype
        self.takes_rules = rules is not None
        self.rules = {**_RULES, **(rules or {})}
        kinds = tuple(sorted({*KINDS.values(), "multiplied"}))
        for name, rule in (rules or {}).items():
            if isinstance(rule, str) and rule not in kinds:
                raise InputError(f"rule for {name!r}: unknown kind {rule!r}; {nearest(rule, kinds)}")

    def __torch_function__(self, func: Any, types: Sequence[type], args: Any = (), kwargs: Any = None) -> Any:
        """The rule's result; an operation whose result no longer depends on activations is noted."""
        out = super().__torch_function__(func, types, args, kwargs)
        name = name_of(func)
        lost = isinstance(out, Tensor) and out.is_floating_point() and not out.requires_grad
        if lost and any(map(_tracked, args)) and not name.startswith("new_") and not name.endswith("_like"):
            self.cuts.setdefault(name)
        return out

    def own_rule(self, call: Call) -> Callable[[Call], Any] | None:
        """The rule that was given for an operation, before any that is known."""
        rule = self.rules.get(call.name)
        return getattr(self, rule) if isinstance(rule, str) else rule

    def remedy(self, operation: str) -> str:  # noqa: D102
        rule = f", or give a rule for it: rules={{{operation!r}: 'passed'}}" if self.takes_rules else ""
        return f"use another criterion{rule}"

    def weighted(self, call: Call) -> Tensor:  # noqa: D102
        weight = call.given(1, "weight").detach().abs().to(self.dtype)
        kwargs = {name: value for name, value in call.kwargs.items() if name not in ("input", "weight", "bias")}
        out: Tensor = call.function(call.given(0, "input").to(weight), weight, None, *call.args[3:], **kwargs)
        if self.layer is not None:
            self.outputs.setdefault(self.layer, []).append(out)
        return out

    def norm(self, call: Call) -> Tensor:  # noqa: D102
        x: Tensor = call.args[0]
        if self.norms == "ignore":
            return x
        weight = call.given(3 if call.name in ("batch_norm", "instance_norm") else 2, "weight")
        if call.name == "batch_norm":
            variance = call.given(2, "running_var")
            if variance is not None:
                deviation = (variance.to(self.dtype) + float(call.given(7, "eps", 1e-5))).sqrt()
                weight = 1 / deviation if weight is None else weight / deviation
        if weight is None:
            return x
        scale = weight.detach().abs().to(self.dtype)
        last = call.name in ("layer_norm", "rms_norm")
        scaled: Tensor = x * (scale if last else scale.view(-1, *[1] * (x.ndim - 2)))
        return scaled

    def passed(self, call: Call) -> Tensor:  # noqa: D102
        tracked = [one for one in call.args if _tracked(one)]
        if len(tracked) > 1:
            self.cuts.setdefault(call.name)
        first: Tensor = tracked[0]
        return first

    def picked(self, call: Call) -> Any:  # noqa: D102
        x = call.args[0]
        if call.name == "amax":
            return x.mean(call.given(1, "dim", ()), call.given(2, "keepdim", False))
        if "pool" not in call.name:
            raise InputError(f"{self.purpose} has no rule for the operation {call.name!r}; use another criterion")
        mean = getattr(F, call.name.replace("max", "avg"))
        if call.name.startswith("adaptive"):
            return mean(x, call.given(1, "output_size"))
        if call.given(4, "dilation", 1) not in (1, (1, 1), (1,)):
            raise InputError(f"{self.purpose} has no rule for dilated pooling; use another criterion")
        window, stride = call.given(1, "kernel_size"), call.given(2, "stride")
        return mean(x, window, stride, call.given(3, "padding", 0), bool(call.given(5, "ceil_mode", False)))

    def averaged(self, call: Call) -> Any:  # noqa: D102
        return call.run()

    def added(self, call: Call) -> Any:  # noqa: D102
        first, second = call.args[:2]
        shape = torch.broadcast_shapes(*(one.shape for one in (first, second) if isinstance(one, Tensor)))
        parts = [one.expand(shape) for one in (first, second) if _tracked(one)]
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]

    def subtracted(self, call: Call) -> Any:  # noqa: D102
        return self.added(call)

    def scaled(self, call: Call) -> Any:  # noqa: D102
        if "div" in call.name and _tracked(call.args[1]):
            # One over an activation is an activation of it.
            call = replace(call, function=torch.mul, name="mul", kwargs={})
        return self.multiplied(call)

    def multiplied(self, call: Call) -> Any:
        """A product: what is no activation by magnitude, and of several activations the sum with ones for the others.

        >>> x, gate = torch.tensor([2.0], requires_grad=True), torch.tensor([3.0], requires_grad=True)
        >>> Absolute().multiplied(Call(torch.mul, "mul", (x, gate), {})), x * 3
        (tensor([5.], grad_fn=<AddBackward0>), tensor([6.], grad_fn=<MulBackward0>))
        """
        given = [one for arg in call.args for one in (arg if isinstance(arg, tuple | list) else [arg])]
        parts = []
        for place, value in enumerate(given):
            if _tracked(value):
                args = [one if at == place else self._factor(one) for at, one in enumerate(given)]
                parts.append(replace(call, args=tuple(args)).run())
        return sum(parts[1:], start=parts[0])

    def _factor(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return abs(value) if isinstance(value, int | float) else value
        return torch.ones_like(value) if value.requires_grad else value.detach().abs().to(self.dtype)

    def chosen(self, call: Call) -> Any:
        """Values where a condition holds, and nothing where it does not."""
        return replace(call, args=tuple(one if _tracked(one) or _condition(one) else 0.0 for one in call.args)).run()

    def distances(self, call: Call) -> Any:
        """Distances of rows to rows: a sum over differences of columns, whose squares are left out."""
        first, second = call.args[:2]
        ones = torch.ones_like
        parts = [first @ ones(second).to(self.dtype).mT] if _tracked(first) else []
        parts += [ones(first).to(self.dtype) @ second.mT] if _tracked(second) else []
        return sum(parts[1:], start=parts[0])

    def attended(self, call: Call) -> Any:
        """Attention: queries by keys, softmax left out, by values."""
        query, key, value = (call.given(place, name) for place, name in enumerate(("query", "key", "value")))
        return self._by(self._by(query, key.mT), value)

    def headed(self, call: Call) -> tuple[Tensor, Tensor | None]:
        """Attention in heads: inputs projected, attended to head by head, joined and projected; masks are left out."""
        named = inspect.signature(call.function).bind(*call.args, **call.kwargs)
        named.apply_defaults()
        given = named.arguments
        apart = given["use_separate_proj_weight"]
        weights = [given[f"{one}_proj_weight"] for one in "qkv"] if apart else given["in_proj_weight"].chunk(3)
        shifts = [None] * 3 if given["in_proj_bias"] is None else given["in_proj_bias"].chunk(3)
        read = (given["query"], given["key"], given["value"])
        query, key, value = (
            self._projected(x, weight, shift).unflatten(-1, (given["num_heads"], -1)).movedim(0, -2)
            for x, weight, shift in zip(read, weights, shifts, strict=True)
        )
        matched = self._by(query, key.mT)
        joined = self._by(matched, value).movedim(-2, 0).flatten(-2)
        out = self._projected(joined, given["out_proj_weight"], None)
        seen = matched.mean(-3) if given["average_attn_weights"] else matched
        return out, seen if given["need_weights"] else None

    def recurrent(self, call: Call) -> tuple[Tensor, ...]:
        """A recurrent layer as its weights on inputs, summed over gates; what goes from step to step is left out."""
        x, state, weights, biases, depth, _, _, both, batch_first = call.args
        if not isinstance(state, Tensor | tuple | list) or not isinstance(weights, tuple | list):
            raise InputError(f"{self.purpose} has no rule for packed series; use another criterion")
        x, ends = x.to(self.dtype), []
        each = len(weights) // (depth * (1 + both))
        parts = iter([weights[start : start + each] for start in range(0, len(weights), each)])
        for _ in range(depth):
            read = []
            for _ in range(1 + both):
                incoming, *_, last = next(parts)
                gates = {"gru": 3, "lstm": 4}.get(call.name, 1)
                out = x @ incoming.detach().abs().to(self.dtype).unflatten(0, (gates, -1)).sum(0).mT
                if each > 2 + 2 * biases:  # a projection of what the units give
                    out = out @ last.detach().abs().to(self.dtype).mT
                read.append(out)
            steps = 1 if batch_first and x.ndim == 3 else 0
            ends += [one.select(steps, 0 if at else -1) for at, one in enumerate(read)]
            x = torch.cat(read, -1)
        held = torch.stack(ends)
        return (x, held, torch.zeros_like(held)) if call.name == "lstm" else (x, held)

    def _by(self, first: Tensor, second: Tensor) -> Any:
        return self.multiplied(Call(torch.matmul, "matmul", (first, second), {}))

    def _projected(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        call = Call(F.linear, "linear", (x, weight, bias), {})
        return self.weighted(call) if _tracked(x) else call.run()


def _tracked(value: object) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def _condition(value: object) -> bool:
    return isinstance(value, Tensor) and value.dtype == torch.bool


def backed_scores(
    net: nn.Module,
    example: Tensor,
    final: Tensor | Sequence[Tensor],
    layers: Sequence[str],
    *,
    norms: Norms = "fold",
    rules: Mapping[str, Rule] | None = None,
    dtype: torch.dtype = torch.float64,
) -> dict[str, Tensor]:
    """Scores of the units of ``layers`` from scores ``final`` (outputs,) of the network's outputs.

    Parameters
    ----------
    net : Module
        Left as it was.
    example : Tensor
        A batch of any length, for its shape.
    final : Tensor, or sequence of Tensor
        One score of 0 or more an output; several tensors for a network that gives several, whose scores add up.
    layers : sequence of str
        Linear layers and convolutions.
    norms, rules, dtype
        See :class:`Absolute`.

    Returns
    -------
    dict of str to Tensor
        (units,) float64 of sum 1, unless all are 0.

    >>> net = nn.Sequential(nn.Linear(1, 2), nn.Linear(2, 2))
    >>> _ = net[1].weight.data.copy_(torch.tensor([[0.5, -1.0], [2.0, 0.1]]))
    >>> backed_scores(net, torch.zeros(1, 1), torch.tensor([1.0, 2.0]), ["0"])["0"] * 5.7
    tensor([4.5000, 1.2000], dtype=torch.float64)
    """
    mode = Absolute(norms, rules, dtype)
    finals = [final] if isinstance(final, Tensor) else list(final)
    with borrowed(net, frozen=True) as device, torch.enable_grad():
        ones = torch.ones(1, *example.shape[1:], dtype=dtype, device=device, requires_grad=True)
        with running(net, mode, layers):
            outs = outputs_of(net(ones))[: len(finals)]
        if len(outs) < len(finals) or not finals:
            raise InputError(f"scores for {len(finals)} outputs of a network that gives {len(outs)}; give one each")
        upstream = [_upstream(out, one) for out, one in zip(outs, finals, strict=True)]
        missed = [name for name in layers if name not in mode.outputs]
        if missed:
            raise InputError(f"layer {missed[0]!r} was never called; does the forward pass use it?")
        places = [(name, one) for name in layers for one in mode.outputs[name]]
        gradients = torch.autograd.grad(outs, [one for _, one in places], upstream, allow_unused=True)
    scores: dict[str, Tensor] = {}
    for (name, _), gradient in zip(places, gradients, strict=True):
        module = net.get_submodule(name)
        if gradient is None:
            cut = f", or {' and '.join(mode.cuts)} cuts the way" if mode.cuts else ""
            raise InputError(
                f"no score reached layer {name!r}: the outputs do not depend on it{cut}; exclude the layer, or use "
                "another criterion"
            )
        each = flat(examples_first(gradient, module, unit_axis(module), name)).to(torch.float64).sum((0, 2)).cpu()
        scores[name] = scores.get(name, 0) + each
    return {name: _shares(score) for name, score in scores.items()}


def outputs_of(value: object) -> list[Tensor]:
    """The tensors that a network gives, in order: one, or all of a tuple, list or mapping.

    >>> len(outputs_of((torch.ones(1), {"aux": torch.ones(1)}, None)))
    2
    """
    if isinstance(value, Tensor):
        return [value]
    held = list(value.values()) if isinstance(value, Mapping) else value if isinstance(value, tuple | list) else ()
    return [tensor for one in held for tensor in outputs_of(one)]


def _upstream(out: Tensor, final: Tensor) -> Tensor:
    if out.ndim < 2 or out.shape[1] != len(final):
        raise InputError(f"{len(final)} scores for outputs of shape {tuple(out.shape)}; give one an output")
    return final.to(out).view(1, -1, *[1] * (out.ndim - 2)).expand_as(out)


def _shares(score: Tensor) -> Tensor:
    total = score.sum()
    return score / total if total > 0 else score
