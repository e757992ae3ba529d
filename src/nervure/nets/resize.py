"""The structural step ``resize``: other widths, as changed attributes and shapes by module.

``difference`` reads off what a cut (or growth) did to a network; ``rebuild`` does the same to a freshly
built one. Both know nothing of kinds of layers: numbers that a module keeps about its size, and the
shapes of what it holds, are all there is to know.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral

import torch
from torch import Tensor, nn

from nervure.errors import InputError

__all__ = ["difference", "rebuild"]

_IGNORED = ("training", "nervure_origin")
Sizes = dict[str, object]
Tied = dict[nn.Parameter, nn.Parameter]


def _sizes(module: nn.Module) -> Sizes:
    """Whole numbers and tuples of them that the module keeps: out_channels, num_features, hidden_size, ..."""
    found: Sizes = {}
    for name, kept in vars(module).items():
        value = int(kept) if isinstance(kept, Integral) and not isinstance(kept, bool) else kept
        whole = isinstance(value, (tuple, list)) and bool(value) and all(isinstance(one, Integral) for one in value)
        if name not in _IGNORED and (value is None or whole or isinstance(value, int)):
            found[name] = value
    return found


def _changed(old: nn.Module, new: nn.Module, where: str) -> dict[str, object]:
    change: dict[str, object] = {}
    before, after = _sizes(old), _sizes(new)
    attributes = {
        name: [int(one) for one in value] if isinstance(value, (tuple, list)) else value
        for name, value in after.items()
        if name in vars(old) and (name not in before or before[name] != value)
    }
    if attributes:
        change["attributes"] = attributes
    for kind, olds, news in (
        ("parameters", old._parameters, new._parameters),
        ("buffers", old._buffers, new._buffers),
    ):
        shapes: dict[str, object] = {}
        for name in dict.fromkeys((*olds, *news)):
            if name not in olds:
                raise InputError(f"{where}: {name!r} is new; a resize changes shapes and adds nothing")
            is_now, was = news.get(name), olds[name]
            if (None if is_now is None else is_now.shape) == (None if was is None else was.shape):
                continue
            shapes[name] = None if is_now is None else list(is_now.shape)
            if kind == "buffers" and is_now is not None and name in new._non_persistent_buffers_set:
                shapes[name] = {"shape": list(is_now.shape), "values": is_now.flatten().tolist()}
        if shapes:
            change[kind] = shapes
    return change


def difference(old: nn.Module, new: nn.Module) -> dict[str, object]:
    """What makes a network shaped like ``old`` one shaped like ``new``, as JSON data.

    Parameters
    ----------
    old, new : nn.Module
        The same modules under the same names; only their sizes differ. Neither is changed.

    Returns
    -------
    dict
        ``{"modules": {name: {"attributes": ..., "parameters": ..., "buffers": ...}}}`` with the new values
        and shapes of what differs; None for what is gone. Buffers that are not saved with the weights
        carry their values.

    Examples
    --------
    >>> difference(nn.Linear(4, 3), nn.Linear(4, 2))["modules"][""]["attributes"]
    {'out_features': 2}
    """
    olds, news = dict(old.named_modules()), dict(new.named_modules())
    odd = [name for name in (*olds, *news) if name not in olds or name not in news]
    odd += [name for name in olds if name in news and type(olds[name]) is not type(news[name])]
    if odd:
        raise InputError(f"module {odd[0]!r} is not the same in both networks; a resize keeps every module")
    modules = {}
    for name, module in olds.items():
        change = _changed(module, news[name], f"module {name!r}")
        if change:
            modules[name] = change
    return {"modules": modules}


def rebuild(net: nn.Module, settings: Mapping[str, object]) -> nn.Module:
    """Give ``net`` itself the sizes that :func:`difference` recorded; its changed weights become zeros.

    >>> cut = difference(nn.Linear(4, 3), nn.Linear(4, 2))
    >>> rebuild(nn.Linear(4, 3), cut)
    Linear(in_features=4, out_features=2, bias=True)
    """
    changes = settings["modules"]
    if not isinstance(changes, Mapping):
        raise InputError("step 'resize': its 'modules' are no mapping by name")
    modules = dict(net.named_modules())
    tied: Tied = {}
    for name, change in changes.items():
        if name not in modules:
            raise InputError(f"step 'resize' names the module {name!r}, which this network lacks")
        try:
            _resize(modules[name], change, tied)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise InputError(f"step 'resize' does not fit module {name!r}: {error}") from error
    return net


def _resize(module: nn.Module, change: Mapping[str, Mapping[str, object]], tied: Tied) -> None:
    for name, value in change.get("attributes", {}).items():
        if name in _IGNORED or name not in vars(module) or name not in _sizes(module):
            raise InputError(f"{name!r} is no size that it keeps")
        was = vars(module)[name]
        setattr(module, name, tuple(value) if isinstance(value, list) and not isinstance(was, list) else value)
    for name, shape in change.get("parameters", {}).items():
        # Through setattr, so that recurrent modules see the change in their flat list of weights too.
        setattr(module, name, None if shape is None else _parameter(module, name, shape, tied))
    for name, shape in change.get("buffers", {}).items():
        setattr(module, name, _buffer(module, name, shape))
    if isinstance(module, nn.RNNBase):
        module.flatten_parameters()


def _parameter(module: nn.Module, name: str, shape: object, tied: Tied) -> nn.Parameter:
    """Zeros of ``shape``; one parameter that two modules share stays one."""
    was = module._parameters[name]
    like = was if was is not None else next(module.parameters())
    fresh = tied.get(was) if was is not None else None
    if fresh is None or list(fresh.shape) != shape:
        zeros = torch.zeros(_shape(shape), dtype=like.dtype, device=like.device)
        fresh = nn.Parameter(zeros, requires_grad=like.requires_grad)
        if was is not None:
            tied[was] = fresh
    return fresh


def _buffer(module: nn.Module, name: str, shape: object) -> Tensor | None:
    if shape is None:
        return None
    was = module._buffers[name]
    dtype = torch.get_default_dtype() if was is None else was.dtype
    device = next((one.device for one in module.parameters()), None) if was is None else was.device
    if isinstance(shape, Mapping):
        return torch.tensor(shape["values"], dtype=dtype, device=device).reshape(_shape(shape["shape"]))
    return torch.zeros(_shape(shape), dtype=dtype, device=device)


def _shape(value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(isinstance(side, int) and side >= 0 for side in value):
        raise InputError(f"{value!r} is no shape")
    return tuple(value)
