"""Blueprint: the shape of a mostly sequential network, as data.

A blueprint names layers and their units, nothing of the data: the same one fits images, series and
tables where its layers do, and takes channels, sizes and classes from what it is built for
(:func:`nervure.nets.chain.chain`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from nervure.errors import InputError, first_wrong

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)

__all__ = ["Blueprint", "Conv", "Dense", "Dropout", "Flatten", "GlobalPool", "Layer", "Pool"]

Size = Annotated[int, Field(ge=1)]
Sizes = Size | tuple[Size, ...]
Padding = Annotated[int, Field(ge=0)]
Activation = Literal["relu", "leaky-relu", "elu", "gelu", "silu", "tanh", "sigmoid"]
Order = Literal["conv-bn-relu", "conv-relu-bn"]


def _readable(error: ValidationError) -> str:
    more = error.error_count() - 1
    return f"blueprint: {first_wrong(error)}{f' (and {more} more)' if more else ''}"


class _Readable(ModelMetaclass):
    """Building from Python raises our own error; an ``__init__`` would also stand in the way of JSON."""

    def __call__(cls, *args: object, **data: object) -> object:
        try:
            return super().__call__(*args, **data)
        except ValidationError as error:
            raise InputError(_readable(error)) from None


class _Data(BaseModel, metaclass=_Readable):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", validate_default=True)


class Conv(_Data):
    """A convolution, then its norm and activation in the given order.

    ``padding`` is zeros on each side; ``"same"`` stands for (kernel - 1) // 2, ``"valid"`` for none.
    ``bias=None`` means a bias unless the norm follows the convolution directly, which has its own.

    >>> Conv(units=6, kernel=5).padding
    'same'
    """

    type: Literal["conv"] = "conv"
    units: Size
    kernel: Sizes = 3
    stride: Sizes = 1
    padding: Literal["same", "valid"] | Padding | tuple[Padding, ...] = "same"
    groups: Size = 1
    norm: Literal["batch"] | None = None
    activation: Activation | None = "relu"
    order: Order = "conv-bn-relu"
    bias: bool | None = None


class Pool(_Data):
    """A pooling window with a stride of its own size; left out where the map is smaller than the window.

    >>> Pool(kind="average").kernel
    2
    """

    type: Literal["pool"] = "pool"
    kind: Literal["max", "average"] = "max"
    kernel: Sizes = 2
    stride: Sizes | None = None


class GlobalPool(_Data):
    """One value for each map: its mean or maximum; the result is flat.

    >>> GlobalPool().kind
    'average'
    """

    type: Literal["global-pool"] = "global-pool"
    kind: Literal["max", "average"] = "average"


class Flatten(_Data):
    """Maps become one row; implied before the first dense layer.

    >>> Flatten().type
    'flatten'
    """

    type: Literal["flatten"] = "flatten"


class Dense(_Data):
    """A dense layer, then its norm and activation. As the last layer, ``units=None`` means the classes.

    >>> Dense(units=120).activation is None
    True
    """

    type: Literal["dense"] = "dense"
    units: Size | None = None
    norm: Literal["batch"] | None = None
    activation: Activation | None = None
    order: Order = "conv-bn-relu"
    bias: bool | None = None


class Dropout(_Data):
    """Dropout of single values at ``rate``, while training.

    >>> Dropout(rate=0.5).rate
    0.5
    """

    type: Literal["dropout"] = "dropout"
    rate: Annotated[float, Field(ge=0, lt=1)] = 0.5


Layer = Annotated[Conv | Pool | GlobalPool | Flatten | Dense | Dropout, Field(discriminator="type")]


class Blueprint(_Data):
    """The shape of a network: its layers in order, the last one dense.

    Parameters
    ----------
    layers : tuple of layers
        :class:`Conv`, :class:`Pool`, :class:`GlobalPool`, :class:`Flatten`, :class:`Dense`, :class:`Dropout`.
    note : str
        Where it comes from, for a reader.

    Examples
    --------
    >>> small = Blueprint(layers=(Conv(units=8), Pool(), Dense()))
    >>> Blueprint.from_json(small.to_json()) == small
    True
    >>> Blueprint(layers=(Dense(units=9), Conv(units=8), Dense()))
    Traceback (most recent call last):
    nervure.errors.InputError: blueprint: layer 1 (conv) comes after a dense layer or flatten, and needs maps
    """

    version: Literal[1] = 1
    note: str = ""
    layers: tuple[Layer, ...]

    @model_validator(mode="after")
    def _ordered(self) -> Blueprint:
        if not self.layers or self.layers[-1].type != "dense":
            raise ValueError("the last layer must be dense: it gives the outputs")
        flat = False
        for at, layer in enumerate(self.layers):
            if flat and layer.type in ("conv", "pool", "global-pool"):
                raise ValueError(f"layer {at} ({layer.type}) comes after a dense layer or flatten, and needs maps")
            if layer.type == "dense" and layer.units is None and at < len(self.layers) - 1:
                raise ValueError(f"layer {at} (dense) has no units; only the last one may leave them to the classes")
            flat = flat or layer.type in ("dense", "flatten", "global-pool")
        return self

    def to_json(self) -> dict[str, object]:
        """As plain JSON data."""
        data: dict[str, object] = json.loads(self.model_dump_json())
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, object] | str) -> Blueprint:
        """From what :meth:`to_json` gave, or the same as text; anything else is refused."""
        text = data if isinstance(data, str) else json.dumps(data)
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise InputError(_readable(error)) from None

    def save(self, path: Path | str) -> Path:
        """Write as JSON, whole or not at all."""
        path = Path(path)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            part.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
            os.replace(part, path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
        return path

    @classmethod
    def load(cls, path: Path | str) -> Blueprint:
        """Read what :meth:`save` wrote."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: no blueprint can be read there ({error})") from error
        try:
            return cls.from_json(text)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
