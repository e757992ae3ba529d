"""Build a network from a name, a blueprint or the caller's own function; build it again from its Origin."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from nervure.errors import InputError
from nervure.nets import steps
from nervure.nets.blueprint import Blueprint
from nervure.nets.chain import chain
from nervure.nets.origin import Base, Origin, attach
from nervure.nets.seed import seeded
from nervure.nets.shadow import place_of, try_out
from nervure.nets.table import Network, networks
from nervure.nets.weights_file import load_weights
from nervure.registry import check_settings, resolve

if TYPE_CHECKING:
    from nervure.data.dataset import Dataset

__all__ = ["build", "rebuild"]

Spec = str | os.PathLike[str] | Blueprint | Network


def build(
    spec: Spec,
    ds: Dataset | None = None,
    *,
    in_shape: Sequence[int] | None = None,
    classes: int | None = None,
    weights: str | os.PathLike[str] | None = None,
    seed: int = 0,
    **settings: object,
) -> nn.Module:
    """A network for the data, in training mode, carrying its Origin.

    Parameters
    ----------
    spec : str, path, Blueprint or function
        A name of the table ``networks``; a blueprint, or a path ending in ``.json`` that holds one; or
        ``"package.module:function"``, imported because the caller names it and called as
        ``f(in_shape, classes, **settings)``.
    ds : Dataset, optional
        Gives ``in_shape`` and ``classes``.
    in_shape, classes : optional
        One sample's shape, and the number of outputs; ``classes`` here goes before those of ``ds``.
    weights : path, optional
        ``.safetensors``, or ``.pt`` / ``.pth`` read with ``weights_only=True``; names and shapes must fit.
    seed : int
        Of the initial weights. The caller's generators stay as they are.
    settings
        JSON data for the network's function: ``widths``, ``batch_norm``, ...

    Returns
    -------
    nn.Module
        It runs on a batch of two, and gives (2, classes), or for auto-encoders the input's shape.

    Examples
    --------
    >>> net = build("lenet5", in_shape=(1, 28, 28), classes=10, activation="tanh")
    >>> net(torch.zeros(3, 1, 28, 28)).shape
    torch.Size([3, 10])
    >>> build("lenet55", in_shape=(1, 28, 28), classes=10)
    Traceback (most recent call last):
    nervure.errors.InputError: unknown network 'lenet55'; did you mean 'lenet5'? There are: ...
    """
    shape, outputs = _sizes(ds, in_shape, classes)
    base, function = _resolve(spec, shape, outputs, _as_json(settings))
    net = _construct(base, function, seed)
    _check_fit(net, base)
    if weights is not None:
        load_weights(net, weights)
    return attach(net, Origin(base))


def rebuild(origin: Origin, build: str | Network | None = None, seed: int = 0) -> nn.Module:
    """The network that an Origin describes: its base, with fresh weights by ``seed``, then its steps.

    What the Origin says is never imported nor read as a path: a name is a row of the table ``networks``, and a base
    that is the caller's own function is given again, as ``"package.module:function"`` or as the function itself.

    >>> from nervure.nets.origin import origin_of
    >>> net = build("mlp", in_shape=(4,), classes=2, widths=[8])
    >>> rebuild(origin_of(net)).classifier[0]
    Linear(in_features=4, out_features=8, bias=True)
    """
    base = origin.base
    if base.kind == "function":
        if build is None:
            raise InputError(
                f"this network was made by {base.spec!r}, which is not run unasked; give build=, a function called as "
                f"f(in_shape, classes), such as build={base.spec!r} (on the command line: --net {base.spec})"
            )
        function = function_of(build) if isinstance(build, str) else build
    elif build is not None:
        raise InputError(f"build={build!r} is not needed: this network was made from a {base.kind}; leave it out")
    else:
        function = _ours(base)
    net = attach(_construct(base, function, seed), Origin(base))
    return steps.replay(net, origin.steps)


def _ours(base: Base) -> Network:
    """What makes a base that is no function of the caller's own."""
    if isinstance(base.spec, str):
        return networks.get(base.spec)
    return functools.partial(chain, Blueprint.from_json(base.spec))


def _sizes(ds: Dataset | None, in_shape: Sequence[int] | None, classes: int | None) -> tuple[tuple[int, ...], int]:
    if in_shape is not None:
        shape = tuple(in_shape)
        if ds is not None and shape != ds.in_shape:
            raise InputError(f"in_shape={shape}, but samples of {ds.source} are {ds.in_shape}; leave in_shape out")
    elif ds is not None:
        shape = ds.in_shape
    else:
        raise InputError("a network needs to know its data: give a data set, or in_shape= and classes=")
    if not shape or not all(isinstance(side, int) and side > 0 for side in shape):
        raise InputError(f"in_shape={shape}; give one sample's shape, such as (1, 28, 28), without the batch")
    outputs = classes if classes is not None else (ds.classes if ds is not None else 0)
    if isinstance(outputs, bool) or not isinstance(outputs, int) or outputs < 0:
        raise InputError(f"classes={outputs!r}; give the number of outputs, such as 10")
    return shape, outputs


def _as_json(settings: Mapping[str, object]) -> dict[str, object]:
    """Settings as JSON gives them back, so that a network and its rebuilt self see the same values."""
    plain = {}
    for name, value in settings.items():
        try:
            plain[name] = json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise InputError(
                f"setting {name}={value!r} is not JSON data; give numbers, text, lists or mappings"
            ) from error
    return plain


def function_of(spec: str) -> Network:
    """The caller's own function that makes a network, by its name ``package.module:function``.

    >>> function_of("nervure.nets.mlp:nothing")
    Traceback (most recent call last):
    nervure.errors.InputError: nervure.nets.mlp:nothing: cannot be imported (module 'nervure.nets.mlp' has no ...
    """
    module, _, name = spec.partition(":")
    if module.endswith(".py"):
        raise InputError(f"{spec}: a module is named without .py; write {Path(module).stem}:{name or 'FUNCTION'}")
    try:
        function = resolve(spec)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"{spec}: cannot be imported ({error}); is it installed or on PYTHONPATH?") from error
    if not callable(function):
        raise InputError(f"{spec} is no function; give package.module:function")
    return function


def _resolve(spec: Spec, shape: tuple[int, ...], classes: int, settings: dict[str, object]) -> tuple[Base, Network]:
    if isinstance(spec, os.PathLike) or (isinstance(spec, str) and spec.endswith(".json")):
        spec = Blueprint.load(Path(spec))
    if isinstance(spec, Blueprint):
        if settings:
            raise InputError(f"a blueprint takes no settings; leave out {', '.join(settings)}")
        return Base("blueprint", spec.to_json(), shape, classes, {}), functools.partial(chain, spec)
    if isinstance(spec, str) and ":" not in spec and not spec.endswith(".py"):
        return Base("name", spec, shape, classes, settings), networks.get(spec)
    if isinstance(spec, str):
        return Base("function", spec, shape, classes, settings), function_of(spec)
    if not callable(spec):
        raise InputError(f"{spec!r} names no network; give a name, a blueprint or package.module:function")
    name = f"{getattr(spec, '__module__', '?')}:{getattr(spec, '__qualname__', repr(spec))}"
    return Base("function", name, shape, classes, settings), spec


def _construct(base: Base, function: Network, seed: int) -> nn.Module:
    what = base.spec if isinstance(base.spec, str) else "blueprint"
    called = "give package.module:function, a function called as f(in_shape, classes)"
    if isinstance(function, nn.Module):
        raise InputError(f"{what} is a network already; {called} that gives it")
    check_settings(what, function, base.settings, given=2)
    try:
        with seeded(seed):
            net = function(base.in_shape, base.classes, **base.settings)
            if isinstance(net, nn.Module) and any(is_lazy(parameter) for parameter in net.parameters()):
                with torch.no_grad():
                    net.eval()(torch.zeros(2, *base.in_shape))
                net.train()
    except InputError:
        raise
    except Exception as error:  # a stranger's function, or a setting of the wrong type in one of ours
        reason = (str(error).strip() or "no reason given").splitlines()[0]
        hint = f"; {called}" if base.kind == "function" and isinstance(error, TypeError) else ""
        raise InputError(
            f"{what}: {type(error).__name__} while building for samples of {base.in_shape}: {reason}{hint}"
        ) from error
    if not isinstance(net, nn.Module):
        raise InputError(f"{what} gave a {type(net).__name__}, not a torch.nn.Module")
    return net


def _check_fit(net: nn.Module, base: Base) -> None:
    """Refuse a network that does not run on two samples, or gives another shape than the task asks for."""
    what = base.spec if isinstance(base.spec, str) else "the blueprint"
    example = torch.zeros(2, *base.in_shape, dtype=place_of(net)[1])
    try:
        out = try_out(net, [example], lambda copied, inputs: copied(*inputs))
    except InputError as error:
        raise InputError(f"{what} does not fit samples of shape {base.in_shape}: {error}") from error
    if not isinstance(out, Tensor):
        raise InputError(f"{what} gives a {type(out).__name__}; forward must return one tensor")
    mirrors = hasattr(net, "encoder") and hasattr(net, "decoder")
    if mirrors and tuple(out.shape) == (2, *base.in_shape):
        return
    wanted = (2, *base.in_shape) if mirrors and not base.classes else (2, base.classes)
    if tuple(out.shape) != wanted and (base.classes or mirrors):
        raise InputError(f"{what} gives {tuple(out.shape)} for two samples; this data needs {wanted}")
