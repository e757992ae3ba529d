"""An estimator's parameters: as plain data, and checked against the types that its class declares."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_origin, get_type_hints

import numpy as np
from torch import nn

from nervure.errors import InputError
from nervure.nets.digest import weights_digest
from nervure.registry import check_settings

if TYPE_CHECKING:
    from nervure.cluster.estimator import DeepClusterer

__all__ = ["network_digest", "parameters", "typed"]


def parameters(estimator: DeepClusterer) -> dict[str, object]:
    """An estimator's parameters as plain JSON data; a network that was given as a module has no such form.

    >>> from nervure.cluster import clusterers
    >>> parameters(clusterers.get("dcae-kmeans")(3, lr=0.01))["lr"]
    0.01
    """
    return {name: None if _opaque(value) else value for name, value in _given(estimator).items()}


def network_digest(estimator: DeepClusterer) -> str | None:
    """A digest of layers, shapes and weights of a network that was given as a module; None of one that has a name.

    >>> from nervure.cluster import clusterers
    >>> kind = clusterers.get("iic")
    >>> dense = nn.Linear(3, 2)
    >>> made = [network_digest(kind(2, network=nn.Sequential(dense, part()))) for part in (nn.ReLU, nn.ReLU, nn.Tanh)]
    >>> made[0] == made[1], made[0] == made[2], network_digest(kind(2, network="mixture-cnn"))
    (True, False, None)
    """
    net = estimator.network
    if not isinstance(net, nn.Module):
        return None
    layers = [(name, type(one).__module__, type(one).__qualname__) for name, one in net.named_modules()]
    shapes = [(name, str(getattr(value, "shape", value))) for name, value in net.state_dict().items()]
    return hashlib.sha256(f"{layers} {shapes} {weights_digest(net, None)}".encode()).hexdigest()


def typed(estimator: DeepClusterer) -> DeepClusterer:
    """The estimator with numbers of Python in place of NumPy's; a parameter of another type is refused.

    >>> import numpy as np
    >>> from nervure.cluster import clusterers
    >>> kind = clusterers.get("dcae-kmeans")
    >>> made = typed(kind(np.int64(3), snapshots=np.arange(2)))
    >>> made.n_clusters, made.snapshots
    (3, [0, 1])
    >>> typed(kind(3, snapshots=2))
    Traceback (most recent call last):
    nervure.errors.InputError: DCAEKMeans: snapshots = 2; give a list
    """
    kind, given = type(estimator), _given(estimator)
    check_settings(kind.__name__, kind, {name: value for name, value in given.items() if not _opaque(value)})
    for name, declared in get_type_hints(kind).items():
        if get_origin(declared) is Sequence and not isinstance(given.get(name, []), list):
            raise InputError(f"{kind.__name__}: {name} = {given[name]!r}; give a list")
    return kind(**given)


def _given(estimator: DeepClusterer) -> dict[str, Any]:
    return {name: _plain(value) for name, value in estimator.get_params(deep=False).items()}


def _opaque(value: object) -> bool:
    """Whether a value has no form as JSON data."""
    return isinstance(value, nn.Module | np.random.RandomState | np.random.Generator)


def _plain(value: object) -> object:
    """NumPy's numbers and arrays as Python's, sequences as lists; anything else as it is."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | nn.Module):
        return [_plain(one) for one in value]
    return value
