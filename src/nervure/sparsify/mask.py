"""Mask: which edges stay, and why; data that can be saved, read, compared and applied again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from torch import Tensor, nn

from nervure.errors import InputError, first_wrong
from nervure.evidence import Bars, Figure, Table
from nervure.judge import Ranking
from nervure.nets.digest import refuse_other
from nervure.sparsify.masked import bake, masked, masks_of, structure, unmasked

__all__ = ["About", "Agreement", "Mask", "Order", "Row", "files_of"]

SCHEMA: Literal[1] = 1
Order = Literal["input-to-output", "output-to-input", "random"]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Row(_Data):
    """One layer: its weight's shape, how many of its edges stay, and which share was asked to go, if one was."""

    layer: str
    shape: tuple[int, ...]
    kept: int
    asked: float | None = None

    @property
    def edges(self) -> int:
        """How many edges the layer has."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def sparsity(self) -> float:
        """The share that goes."""
        return 1 - self.kept / self.edges if self.edges else 0.0


class About(_Data):
    """What a mask was made of, and for which network: everything but its bits.

    ``sparsity`` is what was asked; None for a method that takes none, or a mask read off a network.
    """

    schema_version: Literal[1] = SCHEMA
    structure: dict[str, tuple[int, ...]]
    rows: tuple[Row, ...]
    criterion: str
    settings: dict[str, JsonValue] = {}
    sparsity: float | dict[str, float] | None = None
    ranking: Ranking = "layer"
    order: Order = "input-to-output"
    pattern: tuple[int, int] | None = None
    seed: int = 0
    samples: int = 0
    notes: dict[str, JsonValue] = {}


class Agreement(NamedTuple):
    """Share of edges on which two masks say the same, by layer and on the whole."""

    layers: dict[str, float]
    whole: float


@dataclass(frozen=True, eq=False)
class Mask:
    """Which edges stay.

    Parameters
    ----------
    masks : mapping of str to Tensor
        By layer, bool, of its weight's shape: True stays.
    about : About
        Where the mask comes from, and the structure that it is for.
    figures : mapping of str to Figure
        What the decision rests on; not saved with it.

    Examples
    --------
    >>> import tempfile
    >>> net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    >>> mask = Mask.for_net(net, {"0": torch.tensor([[True, False], [True, True]])})
    >>> mask.sparsity, mask.rows[0].kept
    (0.25, 3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Mask.load(mask.save(f"{folder}/mask.json")) == mask
    True
    >>> thin = mask.apply(net)
    >>> thin[0].weight[0, 1].item(), torch.equal(mask.remove(thin)[0].weight, net[0].weight)
    (0.0, True)
    """

    masks: Mapping[str, Tensor]
    about: About
    figures: Mapping[str, Figure] = field(default_factory=dict, repr=False)

    @classmethod
    def for_net(
        cls,
        net: nn.Module,
        masks: Mapping[str, Tensor],
        *,
        criterion: str = "given",
        asked: Mapping[str, float] | None = None,
        figures: Mapping[str, Figure] | None = None,
        **about: object,
    ) -> Mask:
        """A mask of these bits for networks of the structure of ``net``; the rest is what :class:`About` takes."""
        asked = asked or {}
        held = {name: one.detach().to(device="cpu", dtype=torch.bool).clone() for name, one in masks.items()}
        rows = tuple(
            Row(layer=name, shape=tuple(one.shape), kept=int(np.count_nonzero(one.numpy())), asked=asked.get(name))
            for name, one in held.items()
        )
        given = {"structure": structure(net), "rows": rows, "criterion": criterion, **about}
        return cls(held, About.model_validate(given), dict(figures or {}))

    @classmethod
    def of(cls, net: nn.Module) -> Mask:
        """The mask that a network has: of a masked one its own, of a plain one the weights that are not zero.

        Of a plain network linear layers and convolutions count that have a zero.

        >>> net = nn.Linear(2, 1).requires_grad_(False)
        >>> net.weight[0, 1] = 0
        >>> Mask.of(nn.Sequential(net)).masks
        {'0': tensor([[ True, False]])}
        """
        found = masks_of(net)
        criterion = "mask" if found else "zeros"
        if not found:
            from nervure.sparsify.layers import prunable, weight_of

            weights = {name: weight_of(module).detach() for name, module in prunable(net).items()}
            found = {name: weight != 0 for name, weight in weights.items() if bool((weight == 0).any())}
        return cls.for_net(net, found, criterion=criterion)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Mask)
            and self.about == other.about
            and all(torch.equal(one, other.masks[name]) for name, one in self.masks.items())
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def rows(self) -> tuple[Row, ...]:
        """A row a layer."""
        return self.about.rows

    @property
    def edges(self) -> int:
        """Edges of the layers that the mask covers."""
        return sum(row.edges for row in self.rows)

    @property
    def kept(self) -> int:
        """How many of them stay."""
        return sum(row.kept for row in self.rows)

    @property
    def sparsity(self) -> float:
        """The share of them that goes."""
        return 1 - self.kept / self.edges if self.edges else 0.0

    @property
    def evidence(self) -> dict[str, Figure]:
        """Sparsity by layer, the table of layers, and in the process that planned what the decision rests on."""
        return {"sparsity": self.bars(), "edges": self.table(), **self.figures}

    def bars(self) -> Bars:
        """Share of edges that go, by layer."""
        return Bars(
            title="Sparsity by layer",
            alt=f"{self.sparsity:.1%} of {self.edges:,} edges go; by layer "
            + ", ".join(f"{row.layer} {row.sparsity:.1%}" for row in self.rows),
            values=[[row.sparsity for row in self.rows]],  # type: ignore[arg-type]
            bars=[row.layer for row in self.rows],
            series=["share of edges removed"],
            y_label="share of edges",
        )

    def table(self) -> Table:
        """A line a layer: edges before and after, the share that was asked to go and the one that goes."""
        rows: list[tuple[str | int | float | None, ...]] = [
            (row.layer, row.edges, row.kept, row.asked, row.sparsity) for row in self.rows
        ]
        asked = self.about.sparsity if isinstance(self.about.sparsity, float) else None
        rows.append(("network", self.edges, self.kept, asked, self.sparsity))
        return Table(
            title="Which edges stay",
            alt=f"{self.kept:,} of {self.edges:,} edges stay, chosen by {self.about.criterion}.",
            columns=("layer", "edges", "kept", "asked", "sparsity"),
            rows=rows,
        )

    def apply(self, net: nn.Module) -> nn.Module:
        """A copy of ``net`` that uses only the edges that stay, of a masked one those that it used; it stores all."""
        self.check(net)
        return masked(net, self.masks)

    def remove(self, net: nn.Module) -> nn.Module:
        """A copy of a masked network with all its edges back, those that were masked as they are stored."""
        self.check(net)
        return unmasked(net)

    def bake(self, net: nn.Module) -> nn.Module:
        """A copy of ``net`` without masks whose removed edges are zeros for good."""
        return bake(self.apply(net))

    def check(self, net: nn.Module) -> None:
        """Refuse a network of another structure, naming the first difference."""
        refuse_other("mask", self.about.structure, structure(net))

    def compare(self, other: Mask) -> Agreement:
        """On which share of the edges two masks of one network agree.

        >>> net = nn.Sequential(nn.Linear(2, 1))
        >>> one, two = (Mask.for_net(net, {"0": torch.tensor([bits])}) for bits in ([True, False], [True, True]))
        >>> one.compare(two)
        Agreement(layers={'0': 0.5}, whole=0.5)
        """
        for name in (*self.masks, *other.masks):
            shapes = [None if name not in one else tuple(one[name].shape) for one in (self.masks, other.masks)]
            if shapes[0] != shapes[1]:
                raise InputError(
                    f"these masks are not of the same layers: {name!r} is {shapes[0]} in one, {shapes[1]} in the other"
                )
        same = {name: int((one == other.masks[name]).sum()) for name, one in self.masks.items()}
        layers = {name: same[name] / max(1, one.numel()) for name, one in self.masks.items()}
        return Agreement(layers, sum(same.values()) / max(1, self.edges))

    def save(self, path: Path | str) -> Path:
        """Write ``NAME.json``, for people to read, after ``NAME.safetensors``, a bit an edge; no file is half there."""
        from nervure.store.atomic import write_json
        from nervure.store.tree import save_weights

        path, bits = files_of(path)
        save_weights(bits, {name: _packed(one) for name, one in self.masks.items()})
        digest = hashlib.sha256(bits.read_bytes()).hexdigest()
        write_json(path, {**self.about.model_dump(mode="json"), "bits": digest})
        return path

    @classmethod
    def load(cls, path: Path | str) -> Mask:
        """Read a mask; files that are none, or do not belong together, are refused."""
        import json

        from nervure.store.tree import load_weights

        path, bits = files_of(path)
        try:
            data = json.loads(path.read_bytes())
            digest = data.pop("bits")
            about = About.model_validate_json(json.dumps(data))
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from error
        except ValidationError as error:
            raise InputError(f"{path}: not a mask that Nervure wrote ({first_wrong(error)})") from error
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            raise InputError(f"{path}: not a mask that Nervure wrote ({error})") from error
        packed = load_weights(bits)
        if hashlib.sha256(bits.read_bytes()).hexdigest() != digest or set(packed) != {row.layer for row in about.rows}:
            raise InputError(f"{bits}: not the bits of {path.name} (its digest does not match)")
        masks = {row.layer: _unpacked(packed[row.layer], row, path) for row in about.rows}
        return cls(masks, about)


def files_of(path: Path | str) -> tuple[Path, Path]:
    """The two files of a mask: its record, whose ending may be left out, and its bits.

    >>> [file.name for file in files_of("masks/half-0.5")]
    ['half-0.5.json', 'half-0.5.safetensors']
    """
    path = Path(path)
    record = path if path.suffix == ".json" else path.with_name(f"{path.name}.json")
    return record, record.with_suffix(".safetensors")


def _packed(mask: Tensor) -> Tensor:
    return torch.from_numpy(np.packbits(mask.numpy().reshape(-1)))


def _unpacked(packed: Tensor, row: Row, path: Path) -> Tensor:
    bits = np.unpackbits(packed.numpy())
    if packed.shape != (-(-row.edges // 8),) or np.count_nonzero(bits) != row.kept:
        raise InputError(
            f"{path}: its bits are not those of {row.layer!r}, of which it says {row.kept} stay; save it anew"
        )
    return torch.from_numpy(bits[: row.edges].astype(bool)).view(row.shape)
