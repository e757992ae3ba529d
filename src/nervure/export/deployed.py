"""Deployed: a network that takes stored values, because whoever runs it has nothing else."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from nervure.data.dataset import Preprocessing, Task
from nervure.data.stretch import stretch
from nervure.errors import InputError
from nervure.objectives.call import takes_mask
from nervure.observe.ready import refuse_closed

__all__ = ["CHOICES", "Deployable", "Deployed", "name_outputs", "own_copy"]

CHOICES: tuple[Task, ...] = ("classification", "clustering")
"""Tasks whose networks give a logit for each of what they choose from."""


@runtime_checkable
class Deployable(Protocol):
    """A network that can leave out what only training needs."""

    def deployable(self) -> nn.Module:
        """A copy for use alone, in float32."""


class Deployed(nn.Module):
    """Preprocessing, network and, for a classifier, softmax in one module.

    Parameters
    ----------
    net : module
        The network; it is used as it is, not copied.
    preprocessing : Preprocessing
        From stored values to network input; kept as buffers.
    task : str
        ``"classification"`` and ``"clustering"`` name the first output ``logits`` and add ``probabilities``; otherwise
        it is named ``output``.

    Examples
    --------
    >>> net = Deployed(nn.Identity(), Preprocessing(scale=0.5), "classification")
    >>> {name: value.tolist() for name, value in net(torch.tensor([[2.0, 2.0]])).items()}
    {'logits': [[1.0, 1.0]], 'probabilities': [[0.5, 0.5]]}
    """

    scale: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, preprocessing: Preprocessing | None = None, task: Task = "none") -> None:
        super().__init__()
        given = preprocessing or Preprocessing()
        self.net = net
        self.task = task
        self.scales = given.scale != 1.0
        self.stretches = bool(given.each)
        self.standardises = bool(given.mean)
        self.clips = given.clip
        self.takes_mask = takes_mask(net)
        self.register_buffer("scale", torch.tensor(given.scale, dtype=torch.float32))
        self.register_buffer("mean", torch.tensor(given.mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(given.std, dtype=torch.float32))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        """Outputs by name for (n, ...) stored values as float32, and a (n, time) bool mask for series."""
        if self.scales:
            x = x * self.scale
        if self.stretches:
            x = stretch(x, mask)
        if self.standardises:
            shape = (1, -1) + (1,) * (x.ndim - 2)
            x = (x - self.mean.view(shape)) / self.std.view(shape)
        if self.clips:
            x = x.clamp(0, 1)
        if mask is None:
            return name_outputs(self.net(x), self.task)
        x = x * mask[:, None]
        return name_outputs(self.net(x, mask=mask) if self.takes_mask else self.net(x), self.task)


def own_copy(net: nn.Module) -> nn.Module:
    """A copy on the CPU, in evaluation mode and without gradients, that export may trace.

    A network that has parts for training alone says by its method ``deployable()`` what is left without them.

    >>> own_copy(nn.Linear(2, 2)).training
    False
    """
    refuse_closed(net)
    try:
        given = net.deployable() if isinstance(net, Deployable) else copy.deepcopy(net)
        return given.cpu().eval().requires_grad_(False)
    except (RuntimeError, TypeError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(
            f"the network cannot be copied ({reason[:120]}); make computed weights permanent first: "
            "torch.nn.utils.prune.remove or parametrize.remove_parametrizations"
        ) from error


def name_outputs(given: object, task: Task) -> dict[str, Tensor]:
    """What a network returned, flat and by name; a classifier's probabilities follow its logits.

    >>> list(name_outputs((torch.zeros(1, 2), torch.zeros(1, 3)), "none"))
    ['output', 'output_1']
    """
    first = "logits" if task in CHOICES else "output"
    if isinstance(given, Tensor):
        named = {first: given}
    elif isinstance(given, Mapping):
        named = {str(key): value for key, value in given.items()}
    elif isinstance(given, Sequence) and len(given):
        fields = getattr(given, "_fields", None) or [first, *(f"output_{i}" for i in range(1, len(given)))]
        named = dict(zip(fields, given, strict=True))
    else:
        named = {first: given}  # type: ignore[dict-item]
    wrong = [key for key, value in named.items() if not isinstance(value, Tensor)]
    if wrong or not named:
        what = f"{wrong[0]!r} is a {type(named[wrong[0]]).__name__}" if wrong else "it is empty"
        raise InputError(f"the network's output cannot be exported: {what}; return a tensor or several tensors")
    if task not in CHOICES:
        return named
    logits = named.pop("logits" if "logits" in named else next(iter(named)))
    return {"logits": logits, "probabilities": torch.softmax(logits, dim=1), **named}
