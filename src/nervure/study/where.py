"""Where a study's data is, and whether it is there, asked before the first trial starts."""

from __future__ import annotations

import os
from pathlib import Path

from nervure.data.sources import sources
from nervure.errors import InputError
from nervure.study.table import Study

__all__ = ["GET", "place_of", "require_data"]

_FOUR = "x_train, y_train, x_test, y_test"
_EACH = "NAME/x_train, NAME/y_train, NAME/x_test, NAME/y_test of each set"
_CIFAR = "https://www.cs.toronto.edu/~kriz/cifar.html"

GET = {
    "cifar10": f"it is cifar10.npz ({_FOUR}, images as bytes), made from {_CIFAR}",
    "cifar20": f"it is cifar20.npz ({_FOUR}): the images of CIFAR-100 with their coarse labels, made from {_CIFAR}",
    "cifar100": f"it is cifar100.npz ({_FOUR}, images as bytes, the 100 fine classes in the order of their names), "
    f"made from {_CIFAR}",
    "coil20": "it is coil20.npz (x, y: the 1,440 processed grey images of 128 x 128, as bytes), made from "
    "https://www.cs.columbia.edu/CAVE/software/softlib/coil-20.php",
    "coil100": "it is coil100.npz (x, y; colour images of 128 x 128 or 64 x 64), made from "
    "https://www.cs.columbia.edu/CAVE/software/softlib/coil-100.php",
    "fashion_mnist": f"it is fashion_mnist.npz ({_FOUR}), or a folder fashion_mnist with the four idx files from "
    "https://github.com/zalandoresearch/fashion-mnist",
    "gtsrb": f"it is gtsrb.npz ({_FOUR}) at 32 x 32, made from https://benchmark.ini.rub.de/",
    "imagenet": "it is a folder imagenet with train and test, a folder a class in each; https://image-net.org",
    "mnist": f"it is mnist.npz ({_FOUR}), or a folder mnist with the four idx files from "
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "mts.npz": f"it is mts.npz ({_EACH}), made from https://www.timeseriesclassification.com",
    "norb": f"it is norb.npz ({_FOUR}; grey images of 96 x 96), made from https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/",
    "stl10": "it is stl10.npz (x, y: the 13,000 labelled images as bytes), made from https://cs.stanford.edu/~acoates/stl10/",
    "svhn": f"it is svhn.npz ({_FOUR}, images as bytes) with the 73,257 and 26,032 cropped digits of "
    "http://ufldl.stanford.edu/housenumbers/, label 10 as 0",
    "ucr.npz": f"it is ucr.npz ({_EACH}), made from https://www.cs.ucr.edu/~eamonn/time_series_data_2018/",
    "usps": f"it is usps.npz ({_FOUR}) with the 7,291 and 2,007 images of "
    "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass.html#usps",
}
"""What the file or folder of a source is, and where to get it, for studies whose ``data.get`` does not say."""


def place_of(study: Study, data_dir: Path | None) -> Path | None:
    """The file or folder that :func:`nervure.data.load` reads for a study; None if it needs none, or there is none.

    >>> from nervure.study.table import load
    >>> place_of(load("digits-lenet5"), None) is None
    True
    """
    source = study.data.source
    if _named(source):
        return None
    archive, colon, _ = source.rpartition(":")
    for name in (source, *([archive] if colon else [])):
        path = Path(os.path.expanduser(name))
        tried = [path] if data_dir is None else [path, data_dir / path, data_dir / f"{name}.npz"]
        for one in tried:
            if one.exists():
                return one
    return None


def require_data(study: Study, data_dir: Path | None) -> None:
    """Refuse a study whose data is not on this machine, saying how to pass it and where to get it.

    >>> from nervure.study.table import load
    >>> require_data(load("digits-lenet5"), None)
    """
    source = study.data.source
    if _named(source) or place_of(study, data_dir):
        return
    how = f"there is none in {data_dir}" if data_dir is not None else "give the folder that holds it with --data-dir"
    get = study.data.get or GET.get(source, "")
    raise InputError(f"{study.name} needs the data {source!r}: {how}{get and f'; {get}'}")


def _named(source: str) -> bool:
    return not source or source in sources or source.startswith("hf:")
