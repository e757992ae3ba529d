"""Plan: which units each layer keeps, and why; data that can be saved, read, compared and applied again."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import BaseModel, ConfigDict, JsonValue, PrivateAttr, ValidationError, field_validator
from torch import Tensor, nn

from nervure.errors import InputError, first_wrong
from nervure.evidence import Figure, Flow, Table
from nervure.judge import Ranking
from nervure.nets.digest import refuse_other, structure, weights_digest
from nervure.observe.ready import refuse_compiled
from nervure.prune.budget import Rounding
from nervure.prune.scores import Combine
from nervure.prune.target import Target

if TYPE_CHECKING:
    from nervure.nets.structure.surgery import Graph

__all__ = ["Input", "Judging", "Latency", "Plan", "Row", "Spread", "Trial"]

log = logging.getLogger(__name__)
SCHEMA = 1


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Spread(_Data):
    """Scores of a layer in short, as its criterion gave them, or in the group's own scale for several criteria.

    ``kept`` is the lowest score that stays, ``cut`` the highest that goes; None where nothing does.
    """

    low: float
    mean: float
    high: float
    kept: float | None
    cut: float | None


class Row(_Data):
    """What happens to one layer, or to the part of it that lies in one group."""

    layer: str
    group: str
    units: int
    places: int
    kept: tuple[int, ...]
    macs_before: int
    macs_after: int
    why: str
    scores: Spread | None = None


class Trial(_Data):
    """One network that was measured on the way: its kept share, its size, and what came out."""

    share: float
    units: int
    params: int
    macs: int
    accuracy: float | None = None
    drop: float | None = None
    latency_ms: float | None = None
    fits: bool


class Latency(_Data):
    """Medians over interleaved runs, in milliseconds, with the durations behind them."""

    before_ms: float
    after_ms: float
    runs: int
    batch: int
    threads: int
    before: tuple[float, ...]
    after: tuple[float, ...]


class Judging(_Data):
    """The criteria, by name, with what they were made with, and how several were combined."""

    names: tuple[str, ...]
    settings: tuple[dict[str, JsonValue], ...]
    combine: Combine
    seed: int
    samples: int


class Input(_Data):
    """One of the tensors that the network reads, as random samples can stand for it.

    ``shape`` is of one sample. ``whole`` has the type of whole numbers, and ``among`` the lowest and highest of them
    that were seen; without these, numbers are of the network's own type.
    """

    shape: tuple[int, ...]
    whole: Literal["bool", "uint8", "int8", "int16", "int32", "int64"] | None = None
    among: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, example: Tensor) -> Input:
        """What samples (n, ...) are like.

        >>> Input.of(torch.tensor([[3, 0, 7]]))
        Input(shape=(3,), whole='int64', among=(0, 7))
        """
        shape = tuple(example.shape[1:])
        if example.is_floating_point() or example.is_complex() or not example.numel():
            return cls(shape=shape)
        whole = str(example.dtype).removeprefix("torch.")
        return cls(shape=shape, whole=whole, among=(int(example.min()), int(example.max())))  # type: ignore[arg-type]

    def drawn(self, samples: int, dtype: torch.dtype) -> Tensor:
        """(samples, ...) random values, always the same; ``dtype`` is the network's own.

        >>> Input(shape=(2,), whole="int64", among=(5, 5)).drawn(1, torch.float32)
        tensor([[5, 5]])
        """
        generator = torch.Generator().manual_seed(0)
        size = (samples, *self.shape)
        if self.whole is None:
            return torch.randn(size, generator=generator).to(dtype)
        low, high = self.among
        return torch.randint(low, high + 1, size, generator=generator).to(getattr(torch, self.whole))


class Plan(_Data):
    """Which units stay, and why.

    Parameters
    ----------
    structure : mapping of str to shape
        Names and shapes of the weights of the network that it is for.
    weights : str
        A digest of its weights, which may change.
    input_shape : tuple of int
        One sample that it reads.
    inputs : tuple of Input
        All tensors that it reads; a plan without them has one of ``input_shape``.
    rows : tuple of Row
        A row a layer, in the order in which the network calls them.
    params_before, params_after, macs_before, macs_after : int
        Predicted exactly; multiply-adds are of one sample.

    Examples
    --------
    >>> import tempfile
    >>> from nervure import nets, prune
    >>> net = nets.build("mlp", in_shape=(4,), classes=2, widths=[8])
    >>> plan = prune.plan(net, None, "l1", prune.Target(keep=0.5))
    >>> plan.params_before, plan.params_after, plan.widths
    (58, 30, {'classifier.0': (8, 4), 'classifier.2': (2, 2)})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Plan.load(plan.save(f"{folder}/plan.json")) == plan
    True
    """

    schema_version: int = SCHEMA
    structure: dict[str, tuple[int, ...]]
    weights: str
    input_shape: tuple[int, ...]
    rows: tuple[Row, ...]
    params_before: int
    params_after: int
    macs_before: int
    macs_after: int
    judging: Judging
    target: Target
    ranking: Ranking
    rounding: Rounding
    round_to: int
    shortcuts: bool
    exclude: tuple[str, ...]
    trials: tuple[Trial, ...] = ()
    latency: Latency | None = None
    inputs: tuple[Input, ...] = ()

    _figures: dict[str, Figure] = PrivateAttr(default_factory=dict)
    _judged: dict[str, dict[str, dict[str, object]]] = PrivateAttr(default_factory=dict)
    _graph: Graph | None = PrivateAttr(default=None)
    _trial: list[Tensor] | None = PrivateAttr(default=None)
    _applied: Plan | None = PrivateAttr(default=None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and self.model_dump_json() == other.model_dump_json()

    __hash__ = None  # type: ignore[assignment]

    @field_validator("schema_version")
    @classmethod
    def _known(cls, value: int) -> int:
        if value != SCHEMA:
            raise ValueError(f"{value} is of another version of Nervure, this one reads {SCHEMA}; plan anew")
        return value

    @property
    def kept(self) -> dict[str, tuple[int, ...]]:
        """The units that stay, by layer, of the layers that lose some."""
        found: dict[str, list[int]] = {}
        for row in self.rows:
            found.setdefault(row.layer, []).extend(row.kept)
        cut = {row.layer for row in self.rows if len(row.kept) < row.places}
        return {layer: tuple(sorted(units)) for layer, units in found.items() if layer in cut}

    @property
    def widths(self) -> dict[str, tuple[int, int]]:
        """Units before and after, by layer."""
        found: dict[str, tuple[int, int]] = {}
        for row in self.rows:
            before, after = found.get(row.layer, (0, 0))
            found[row.layer] = before + row.places, after + len(row.kept)
        return found

    @property
    def applied(self) -> Plan | None:
        """The plan as it was last applied, where a group had to stay whole against it; None if it was kept to."""
        return self._applied

    @property
    def judged(self) -> Mapping[str, Mapping[str, Mapping[str, object]]]:
        """In the process that planned, what each criterion found of each layer: scores of its units, and notes."""
        return self._judged

    @property
    def evidence(self) -> dict[str, Figure]:
        """Widths before and after, the table of layers, and in the process that planned the criterion's figures."""
        return {"widths": self.flow(), "plan": self.table(), **self._figures}

    def drawn(self, samples: int, dtype: torch.dtype) -> list[Tensor]:
        """Random samples (samples, ...) of each of the network's inputs, always the same."""
        inputs = self.inputs or (Input(shape=self.input_shape),)
        return [one.drawn(samples, dtype) for one in inputs]

    def flow(self) -> Flow:
        """Widths before and after."""
        before = [one for one, _ in self.widths.values()]
        after = [one for _, one in self.widths.values()]
        return Flow(
            title="Units before and after",
            alt=f"{sum(after):,} of {sum(before):,} units stay in {len(before)} layers.",
            steps=tuple(self.widths),
            before=before,  # type: ignore[arg-type]
            after=after,  # type: ignore[arg-type]
            y_label="units",
        )

    def table(self) -> Table:
        """A line a layer: units and multiply-adds before and after, and why; the whole network last."""
        rows: list[tuple[str | int, ...]] = [
            (row.layer, row.places, len(row.kept), row.macs_before, row.macs_after, row.why) for row in self.rows
        ]
        before, after = (sum(row[at] for row in rows) for at in (1, 2))  # type: ignore[misc]
        rest = [whole - sum(row[at] for row in rows) for at, whole in ((3, self.macs_before), (4, self.macs_after))]  # type: ignore[misc]
        if any(rest):
            rows.append(("other layers", "", "", *rest, "their units follow those of others"))
        said = f"{self.params_before:,} parameters become {self.params_after:,}"
        odd = sum(after % 8 > 0 for before, after in self.widths.values() if after < before)
        if self.latency is not None and odd:
            said += f"; {odd} layers keep widths that are no multiples of 8, which kernels like less"
        rows.append(("network", before, after, self.macs_before, self.macs_after, said))
        return Table(
            title="What stays",
            alt=f"{said}, {self.macs_before:,} multiply-adds {self.macs_after:,}.",
            columns=("layer", "units before", "units after", "MACs before", "MACs after", "why"),
            rows=rows,
        )

    def save(self, path: Path | str) -> Path:
        """Write the plan as JSON, whole or not at all; its figures are kept apart."""
        from nervure.store.atomic import write_text

        write_text(path, self.model_dump_json(indent=1) + "\n")
        return Path(path)

    @classmethod
    def load(cls, path: Path | str) -> Plan:
        """Read a plan; a file that is none is refused."""
        try:
            return cls.model_validate_json(Path(path).read_bytes())
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from error
        except (ValidationError, InputError) as error:
            said = first_wrong(error) if isinstance(error, ValidationError) else str(error)
            raise InputError(f"{path}: not a plan that Nervure wrote ({said})") from error

    def check(self, net: nn.Module) -> None:
        """Refuse a network of another structure, naming the first difference; other weights only warn."""
        refuse_compiled(net)
        refuse_other("plan", self.structure, structure(net))
        if weights_digest(net) != self.weights:
            log.warning("this plan was made for other weights of the same structure; its reasons may not hold")

    def apply(self, net: nn.Module, example: Tensor | Sequence[Tensor] | None = None) -> nn.Module:
        """A smaller copy of ``net``: see :func:`nervure.prune.apply.apply`."""
        from nervure.prune.apply import apply

        return apply(self, net, example)

    def masked(self, net: nn.Module, example: Tensor | Sequence[Tensor] | None = None) -> nn.Module:
        """A copy of ``net`` in its own size whose cut units are silenced where they are read."""
        from nervure.prune.apply import masked

        return masked(self, net, example)

    def masks(self) -> dict[str, Tensor]:
        """The plan as masks (units,) by layer: True stays."""
        sizes = {row.layer: row.units for row in self.rows}
        found = {layer: torch.zeros(units, dtype=torch.bool) for layer, units in sizes.items()}
        for row in self.rows:
            found[row.layer][list(row.kept)] = True
        return found


def spread(scores: Tensor, stays: Tensor) -> Spread:
    """Scores (units,) in short, with those of units that stay, (units,) bool, beside those of others.

    >>> spread(torch.tensor([1.0, 3.0, 2.0]), torch.tensor([False, True, True]))
    Spread(low=1.0, mean=2.0, high=3.0, kept=2.0, cut=1.0)
    """
    values = scores.detach().to(device="cpu", dtype=torch.float64)
    return Spread(
        low=float(values.min()),
        mean=float(values.mean()),
        high=float(values.max()),
        kept=float(values[stays].min()) if bool(stays.any()) else None,
        cut=float(values[~stays].max()) if not bool(stays.all()) else None,
    )
