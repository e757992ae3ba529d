"""What ``nervure cluster`` reads besides its options: samples as they are stored, labels that supervise, and links."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nervure.cli.common import load_data
from nervure.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nervure.cluster.estimator import DeepClusterer
    from nervure.data import Dataset
    from nervure.data.links import Given

__all__ = ["labels", "links", "load", "numbers", "scaled"]


def load(source: str, data_dir: Path | None, options: dict[str, object], split: str) -> Dataset:
    """The data as stored; of all samples there are no splits, or those of the training split alone are clustered."""
    if split not in ("all", "train"):
        raise InputError(f"--split {split!r}; take all or train")
    if Path(source).is_dir() and (Path(source) / "run.json").is_file():
        raise InputError(f"{source} is a run; give samples, or with a clusterer's run --predict NEW, or --draw")
    whole = {"resplit": True, "validation": 0.0, "test": 0.0} if split == "all" else {}
    return load_data(source, data_dir, {"standardize": False, **whole, **options})


def scaled(ds: Dataset, estimator: DeepClusterer, options: Mapping[str, object]) -> Dataset:
    """Data whose samples become network input as the estimator wants it; ``load`` with its options gives it again.

    Where ``options``, those that were typed, say how, it stays so.
    """
    from nervure.cluster.samples import SCALING
    from nervure.data.measure import measure

    if "standardize" in options:
        return ds
    how: Any = SCALING[ds.kind] if estimator.scaling is None else estimator.scaling
    train, scale = ds.indices("train"), ds.preprocessing.scale
    made = measure(ds.x, ds.kind, train, mask=ds.mask, scale=scale, standardize=how)
    return dataclasses.replace(ds, preprocessing=made, options={**ds.options, "standardize": how})


def labels(ds: Dataset, share: float | None, seed: int) -> NDArray[np.int64]:
    """The labels that supervise, -1 where unknown."""
    import numpy as np

    from nervure.data.few import keep_labels

    if ds.task != "classification" or ds.y is None:
        raise InputError(f"{ds.source} has no labels that could supervise; leave out --labels")
    y = ds.y.astype(np.int64)
    if share is None:
        return y
    if not 0 < share <= 1:
        raise InputError(f"--label-fraction {share:g}; give a share above 0, up to 1")
    return keep_labels(y, share, seed)


def links(path: Path) -> Given:
    """Pairs from a .csv, a line each: two samples by position, and must or cannot."""
    kinds = {"must": "must", "1": "must", "+1": "must", "cannot": "cannot", "-1": "cannot"}
    found: dict[str, list[list[int]]] = {"must": [], "cannot": []}
    try:
        lines = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    for number, line in enumerate(lines, 1):
        cells = [cell.strip().lower() for cell in line]
        known = len(cells) == 3 and cells[2] in kinds
        if not any(cells) or (number == 1 and not known and not cells[0].lstrip("-").isdecimal()):  # a header
            continue
        if not known or not all(cell.isdecimal() for cell in cells[:2]):
            raise InputError(
                f"{path}: line {number} is {','.join(line)!r}; write sample,sample,must or sample,sample,cannot"
            )
        found[kinds[cells[2]]].append([int(cells[0]), int(cells[1])])
    if not any(found.values()):
        raise InputError(f"{path}: it holds no pair; write sample,sample,must or sample,sample,cannot")
    import numpy as np

    return {kind: np.array(rows, dtype=np.int64).reshape(-1, 2) for kind, rows in found.items()}


def numbers(text: str, option: str) -> list[int]:
    """Whole numbers with commas between them.

    >>> numbers("1,5", "--snapshots")
    [1, 5]
    """
    try:
        return [int(one) for one in text.split(",")]
    except ValueError:
        raise InputError(f"{option} {text!r}: give whole numbers with commas between them") from None
