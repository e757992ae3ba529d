"""Static tables of named sources and of file formats; each row resolves to a reader that gives Contents."""

from __future__ import annotations

from collections.abc import Callable

from nervure.data.contents import Contents
from nervure.registry import Table

__all__ = ["Reader", "formats", "sources"]

Reader = Callable[..., Contents]

sources: Table[Reader] = Table(
    "source",
    {
        "digits": ("nervure.data.digits:read", "1,797 handwritten digits of 8 x 8 pixels", "scikit-learn"),
        "synthetic-shapes": (
            "nervure.data.synthetic:read_shapes",
            "seeded shapes on noise, ground known",
            "own",
        ),
        "synthetic-series": (
            "nervure.data.synthetic:read_series",
            "seeded waveforms in several channels",
            "own",
        ),
        "movement": (
            "nervure.data.movement:read",
            "seeded acceleration of a diving bird, in windows",
            "own",
        ),
    },
    group="nervure.sources",
)

formats: Table[Reader] = Table(
    "file format",
    {
        ".npz": ("nervure.data.npz:read", "archive of numpy arrays", "numpy"),
        ".npy": ("nervure.data.npz:read_array", "one numpy array, memory-mapped", "numpy"),
        ".idx": ("nervure.data.idx:read", "idx file, plain or gzipped", "MNIST"),
        ".ts": ("nervure.data.ts:read", "series, one case a line", "sktime"),
        ".arff": ("nervure.data.arff:read", "series, flat or relational", "Weka"),
        ".csv": ("nervure.data.csv:read", "series or features, one sample a row, or windows", "RFC 4180"),
        ".tsv": ("nervure.data.csv:read", "as .csv, parted by tabs", "UCR archive"),
        "folder": ("nervure.data.folder:read", "pictures, one folder a class", "own"),
    },
    group="nervure.formats",
)
