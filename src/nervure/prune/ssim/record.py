"""The file that keeps a layer's search: rows and labels, beside what they are of."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nervure.errors import InputError
from nervure.features.silhouette import KINDS
from nervure.features.validity import INDICES
from nervure.store.atomic import replacing

__all__ = ["FIELDS", "fingerprint", "read", "write"]

FIELDS = np.dtype(
    [("null", "?"), ("k", "i4"), ("run", "i4"), ("initial", "i4")]
    + [(kind, "f8") for kind in (*KINDS, *INDICES)]
    + [("rounds", "i4"), ("repaired", "i4"), ("stop", "i1")]
)


def fingerprint(weight: Tensor) -> str:
    """A hash of the weights and their shape.

    >>> import torch
    >>> fingerprint(torch.zeros(2, 3)) == fingerprint(torch.zeros(3, 2))
    False
    """
    digest = hashlib.sha256(repr(tuple(weight.shape)).encode())
    digest.update(weight.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def write(file: Path, header: str, rows: NDArray[np.void], labels: NDArray[np.uint16]) -> None:
    """Write a layer's file, whole or not at all."""
    with replacing(file) as temporary, temporary.open("wb") as handle:
        np.savez_compressed(handle, header=np.asarray(header), rows=rows, labels=labels)


def read(file: Path, header: Mapping[str, object], n: int) -> tuple[NDArray[np.void], NDArray[np.uint16]]:
    """Rows and labels (m, n) of a file that :func:`write` wrote, if it is of this layer and these settings."""
    try:
        with np.load(file, allow_pickle=False) as held:
            was = json.loads(str(held["header"]))
            rows, labels = held["rows"], held["labels"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{file}: not a search that Nervure wrote; remove it to search anew") from error
    if rows.dtype != FIELDS:
        raise InputError(f"{file}: a search by another version of Nervure; remove it to search anew")
    if differing := [key for key in header if was.get(key) != header[key]]:
        raise InputError(f"{file} holds a search with another {differing[0]}; give another folder")
    if labels.shape != (len(rows), n):
        raise InputError(f"{file}: not a search of {n} units; remove it to search anew")
    return rows, labels
