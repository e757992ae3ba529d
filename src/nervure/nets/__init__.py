"""Networks to start from, their shape as data, their cost counted.

>>> from nervure import nets
>>> net = nets.build("lenet5", in_shape=(1, 28, 28), classes=10)
>>> nets.count(net, (1, 28, 28)).params
61706
"""

from nervure.nets import steps
from nervure.nets.blueprint import Blueprint
from nervure.nets.build import build, rebuild
from nervure.nets.cost import Cost, count, weights
from nervure.nets.default import default_autoencoder, default_for
from nervure.nets.origin import Base, Origin, Step, origin_of
from nervure.nets.renewed import renewed
from nervure.nets.steps import derive
from nervure.nets.table import get, names, networks

__all__ = [
    "Base",
    "Blueprint",
    "Cost",
    "Origin",
    "Step",
    "build",
    "count",
    "default_autoencoder",
    "default_for",
    "derive",
    "get",
    "names",
    "networks",
    "origin_of",
    "rebuild",
    "renewed",
    "steps",
    "weights",
]
