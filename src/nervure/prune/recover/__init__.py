"""recover: a cut network does again what the uncut one did, as far as its units allow."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from nervure.data.dataset import Dataset
from nervure.errors import InputError
from nervure.observe.borrowed import device_of
from nervure.observe.ready import refuse_compiled
from nervure.prune.recover.kept import check_pair
from nervure.prune.recover.recovery import SAMPLES, Given, Kept, Recovery, Repair, enough, figure, pick
from nervure.registry import Table, nearest, takes
from nervure.train.runtime import pick_device

if TYPE_CHECKING:
    from nervure.prune.plan import Plan
    from nervure.train.loop import Progress

__all__ = ["Given", "Kept", "Recovery", "Repair", "check", "figure", "get", "methods", "names", "recover", "theirs"]

_HOME = "nervure.prune.recover"

methods: Table[Callable[..., Recovery]] = Table(
    "recovery",
    {
        "kernel-estimation": (
            f"{_HOME}.kernel_estimation:KernelEstimation",
            "each layer that lost inputs is fitted anew to the uncut layer's outputs, by least squares",
            "Alqahtani, thesis, chapter 6",
        ),
        "batch-norm": (
            f"{_HOME}.batch_norm:Recalibration",
            "means and variances of batch norms are measured anew",
            "standard",
        ),
        "bias": (
            f"{_HOME}.bias:BiasCorrection",
            "the mean output of each layer that lost inputs is put back where it was",
            "standard",
        ),
        "fine-tune": (
            f"{_HOME}.fine_tune:FineTune",
            "training goes on, if wished with the uncut network as teacher",
            "Alqahtani, thesis, chapter 6",
        ),
        "none": (f"{_HOME}.recovery:Nothing", "the network stays as it was cut", "the control"),
    },
    group="nervure.recoveries",
)
names = methods.names
get = methods.get


def recover(
    small: nn.Module,
    original: nn.Module,
    ds: Dataset,
    *,
    method: str | Recovery | Sequence[str | Recovery] = "kernel-estimation",
    kept: Plan | Kept | None = None,
    current: nn.Module | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
    layers: Sequence[str] | None = None,
    tell: Callable[[Repair], None] | None = None,
    device: str = "auto",
    progress: Callable[[Progress], None] | None = None,
    stop: Callable[[], bool] | None = None,
    **options: object,
) -> nn.Module:
    """Repair a cut network with the help of the uncut one; both stay as they are.

    Parameters
    ----------
    small, original : Module
        The cut network, and the one that it was cut from; layers are matched by name.
    ds : Dataset
        Its training split is read; all methods but ``fine-tune`` need no labels.
    method : str, Recovery, or a sequence of them
        Names of the table ``methods``, or what they make; several act one after the other.
    kept : Plan or mapping of layer to indices, optional
        Which outputs each layer kept. Without it they are found by comparing weights, which works as long as
        the cut network's weights were not trained since.
    current : Module, optional
        After one more cut of several: the network just before it, which ``kernel-estimation`` follows with
        ``target="current"``. By default ``original``: of one cut, both are the same.
    samples : int
        How many samples of the training split are read, drawn by ``seed``; ``fine-tune`` reads the whole split.
    seed : int
    layers : sequence of str, optional
        The layers that ``kernel-estimation`` and ``bias`` repair, as far as they lost inputs; by default all that did.
        After one more cut these are the layers that read the one just cut.
    tell : callable, optional
        Given a :class:`Repair` for each layer that was repaired; :func:`figure` draws them.
    device : str
        Where the work is done: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    progress, stop : callable, optional
        As in :func:`nervure.train.fit`, for ``fine-tune``.
    **options
        Settings of the methods, each handed to those that have it: ``ridge``, ``recipe``, ...; :func:`check` looks at
        them beforehand.

    Returns
    -------
    Module
        A new network of the same structure and Origin, in the mode and on the device of ``small``.

    Examples
    --------
    >>> import nervure as nv
    >>> from nervure import prune
    >>> ds = nv.data.load("digits")
    >>> net = nv.nets.build("mlp", ds, widths=[32, 32])
    >>> plan = prune.plan(net, ds, "l1", prune.Target(keep=0.5))
    >>> told = []
    >>> small = recover(plan.apply(net), net, ds, kept=plan, tell=told.append)
    >>> [(repair.layer, repair.after < repair.before) for repair in told]
    [('classifier.2', True), ('classifier.4', True)]
    """
    for net in (small, original):
        refuse_compiled(net)
    check_pair(small, original)
    if current is not None:
        check_pair(small, current)
    chain = _chain(method, options)
    known = dict(small.named_modules())
    for name in layers or ():
        if name not in known:
            raise InputError(f"layers: no layer {name!r} in this network; {nearest(name, tuple(known))}")
    at = pick(ds, samples, seed)
    given = Given(
        small, original, ds, at, _kept(kept), seed, tell or (lambda repair: None), layers, current, progress, stop
    )
    modes = {name: module.training for name, module in small.named_modules()}
    net = copy.deepcopy(small).to(pick_device(device))
    for recovery in chain:
        net = recovery(net, given)
    for name, module in net.named_modules():
        module.training = modes.get(name, False)
    return net.to(device_of(small))


def check(method: str | Recovery | Sequence[str | Recovery], *, samples: int = SAMPLES, **options: object) -> None:
    """Refuse what :func:`recover` would refuse of its methods and their settings, before any work.

    >>> check("kernel-estimation", samples=500, ridge=0.01)
    >>> check("fine-tune", ridge=0.01)
    Traceback (most recent call last):
    nervure.errors.InputError: recovery by fine-tune has no option 'ridge'; there are: samples, recipe, ...
    """
    enough(samples)
    _chain(method, options)


def theirs(method: str | Sequence[str], options: Mapping[str, object]) -> dict[str, Any]:
    """Those of ``options`` that methods of these names have; all have ``samples``.

    >>> theirs("batch-norm", {"samples": 50, "ridge": 0.01})
    {'samples': 50}
    """
    asked = [method] if isinstance(method, str) else method
    known = {"samples", *(name for one in asked for name in _settings(one))}
    return {name: value for name, value in options.items() if name in known}


def _kept(kept: Plan | Kept | None) -> Kept:
    if kept is None or isinstance(kept, Mapping):
        return kept or {}
    return (kept.applied or kept).kept


def _chain(method: str | Recovery | Sequence[str | Recovery], options: Mapping[str, object]) -> list[Recovery]:
    """The methods in order, each with those of the options that it has; an option that none has is refused."""
    asked = list(method) if isinstance(method, Sequence) and not isinstance(method, str) else [method]
    if not asked:
        raise InputError("no method of recovery; give one or more, or 'none'")
    own = [_settings(one) if isinstance(one, str) else () for one in asked]
    known = ("samples", *dict.fromkeys(name for one in own for name in one))
    for name in options:
        if name not in known:
            raise InputError(f"recovery by {_words(asked)} has no option {name!r}; {nearest(name, known)}")
    return [
        methods.make(one, {name: value for name, value in options.items() if name in mine})
        if isinstance(one, str)
        else one
        for one, mine in zip(asked, own, strict=True)
    ]


def _settings(name: str) -> tuple[str, ...]:
    return takes(get(name)) or ()


def _words(asked: Sequence[str | Recovery]) -> str:
    return ", ".join(one if isinstance(one, str) else type(one).__name__ for one in asked)
