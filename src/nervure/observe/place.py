"""Place: a site of a network during a pass, with what is accumulated there."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.observe.layout import examples_first, first_tensor, floating, replaced, time_first, unit_axis
from nervure.observe.statistic import Site, Statistic
from nervure.observe.summary import Reading, Summary
from nervure.observe.votes import Votes

__all__ = ["Place"]


class Place:
    """Hooks one site and hands what passes there to its statistics.

    Statistics that read from a summary share one with as many bins as the most demanding of them, and votes
    take their means from it, so an activation is read once for all of these. What is read from a summary leaves out
    the steps that the batch's mask calls padding, where a map has as many steps as the mask. Shorter maps (after
    pooling, say) and statistics that read for themselves keep them.

    >>> from nervure.observe.moments import Moments
    >>> relu = nn.ReLU()
    >>> place = Place(Site("relu"), relu, [Moments()])
    >>> handle = place.attach()
    >>> _ = relu(torch.ones(2, 3))
    >>> place.statistics()["moments",].result().mean
    tensor([1., 1., 1.], dtype=torch.float64)
    """

    def __init__(
        self,
        site: Site,
        module: nn.Module,
        statistics: Sequence[Statistic],
        compiled: bool | None = None,
        axis: int | None = None,
        laid_out_as: nn.Module | None = None,
    ) -> None:
        self.site = site
        self.module = module
        self.lies = module if laid_out_as is None else laid_out_as
        self.axis = unit_axis(self.lies) if axis is None else axis
        self.batch: Batch | None = None
        own = [statistic.continued(statistic.state()) for statistic in statistics]
        self._readings = [s for s in own if isinstance(s, Reading) and not s.state()]
        self._voters = [s for s in own if isinstance(s, Votes) and s.spatial == "mean"]
        shared = {id(s) for s in (*self._readings, *self._voters)}
        self._others = [s for s in own if id(s) not in shared]
        self._own = own
        bins = max((reading.bins for reading in self._readings), default=0)
        self._summary = Summary(bins, compiled=compiled) if shared else None
        if site.side != "output" and any(s.needs_gradient or s.needs_input for s in own):
            raise InputError(f"layer {site.module!r}: statistics of gradients or inputs belong to its output side")
        self.gradient = site.side == "gradient" or any(s.needs_gradient for s in own)
        self._calls = 0
        self._gradients = 0
        self._orders: set[bool | None] = set()

    def attach(self) -> RemovableHandle:
        """Hook the module; the handle removes it."""
        if self.site.side == "input":
            return self.module.register_forward_pre_hook(self._before, with_kwargs=True)
        return self.module.register_forward_hook(self._after, with_kwargs=True)

    def _before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._calls += 1
        self._take(self._given(args, kwargs))

    def _given(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
        return first_tensor(args[0] if args else kwargs, self.site.module)

    def _after(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        self._calls += 1
        value = first_tensor(output, self.site.module)
        incoming = self._given(args, kwargs) if any(s.needs_input for s in self._own) else None
        if not self.gradient:
            self._take(value, incoming=incoming)
            return None
        return self._track(value, incoming, output)

    def _track(self, value: Tensor, incoming: Tensor | None, output: Any) -> Any:
        """Take the value in when its gradient arrives; let gradients begin here, if none passes."""
        floating(value, self.site.module)
        passed_on = not value.requires_grad
        if passed_on:
            value = value.detach().requires_grad_().clone()
        # What follows may write in place, so the value is kept as it is now.
        kept = value.detach() if self.site.side == "gradient" else value.detach().clone()
        register: Callable[..., object] = value.register_hook
        register(lambda gradient: self._arrived(kept, gradient, incoming))
        return replaced(output, value) if passed_on else None

    def _arrived(self, kept: Tensor, gradient: Tensor, incoming: Tensor | None) -> None:
        self._gradients += 1
        if self.site.side == "gradient":
            self._take(gradient)
        else:
            self._take(kept, gradient, incoming)

    def _take(self, value: Tensor, gradient: Tensor | None = None, incoming: Tensor | None = None) -> None:
        # Accumulators must stay usable after the pass, so they are no inference tensors.
        with torch.inference_mode(False), torch.no_grad():
            try:
                self._update(self._laid_out(value), gradient, incoming)
            except InputError as error:
                raise InputError(f"layer {self.site.module!r} ({self.site.side}): {error}") from None

    def _update(self, activation: Tensor, gradient: Tensor | None, incoming: Tensor | None) -> None:
        if not activation.numel():
            return
        if self._summary is not None:
            for part in self._without_padding(activation):
                self._summary.update(part, self.batch)
                assert self._summary.means is not None
                for votes in self._voters:
                    votes.vote(self._summary.means)
        for statistic in self._others:
            further: dict[str, Tensor] = {}
            if statistic.needs_gradient and gradient is not None:
                further["gradient"] = self._laid_out(gradient)
            if statistic.needs_input and incoming is not None:
                further["incoming"] = self._laid_out(incoming)
            assert self.batch is not None
            statistic.update(activation, self.batch, **further)

    def _without_padding(self, activation: Tensor) -> Iterator[Tensor]:
        """The activation, or its examples in groups that have the same steps, and those steps alone."""
        mask = None if self.batch is None else self.batch.mask
        if mask is None or activation.ndim != 3 or activation.shape[::2] != mask.shape:
            yield activation
            return
        for steps in mask.unique(dim=0):
            if steps.any():
                yield activation[(mask == steps).all(1)][..., steps]

    def _laid_out(self, value: Tensor) -> Tensor:
        examples = None if self.batch is None else len(self.batch.x)
        swapped = time_first(value, self.lies, self.axis, examples)
        if swapped is None and True in self._orders:
            swapped = True
        self._orders.add(swapped)
        if {None, True} <= self._orders:
            raise InputError(
                "time lies before examples, which did not show in an earlier batch of as many examples as steps; give "
                "batches of another length, or a network with batch_first=True"
            )
        return examples_first(value, self.lies, self.axis, self.site.module, swapped or False)

    def _accumulators(self) -> list[Statistic]:
        return [*self._others, *self._voters, *([] if self._summary is None else [self._summary])]

    def check_values(self, seen: int) -> None:
        """An error that names the layer, if NaN or infinity has shown itself in a sum."""
        for statistic in self._accumulators():
            if not statistic.finite():
                raise InputError(
                    f"layer {self.site.module!r} ({self.site.side}) gave NaN or infinite values within "
                    f"the first {seen} samples; check the network's weights and the data"
                )

    def check_called(self) -> None:
        """An error that names the layer, if nothing ever passed there."""
        if all(statistic.state() for statistic in self._accumulators()):
            return
        if self._calls and self.gradient and not self._gradients:
            raise InputError(f"no gradient reached layer {self.site.module!r}; does the loss depend on it?")
        raise InputError(f"layer {self.site.module!r} was never called; does the forward pass use it?")

    def forget(self) -> None:
        """Begin at nothing, also where a statistic has seen data before."""
        for statistic in self._accumulators():
            statistic.load_state({})

    def exchange(self, merged: Callable[[Statistic], Statistic]) -> None:
        """Replace each accumulator by what all ranks together have seen."""
        for statistic in self._accumulators():
            statistic.load_state(merged(statistic).state())

    def statistics(self) -> dict[Hashable, Statistic]:
        """The statistics by key; those that share a summary keep apart as soon as one is changed."""
        for reading in self._readings:
            assert self._summary is not None
            reading.share(self._summary)
        return {statistic.key: statistic for statistic in self._own}
