"""Which network to start from when the user names none."""

from __future__ import annotations

from nervure.data.dataset import Dataset

__all__ = ["default_for"]


def default_for(ds: Dataset) -> str:
    """The name of a network that suits the data: by what a sample is, what is asked, and how large it is.

    Pictures of up to 32 pixels with one channel get ``lenet5``, other pictures ``resnet20``, series
    ``series-cnn``, tables ``mlp``; without labels an auto-encoder.

    >>> import nervure as nv
    >>> default_for(nv.data.load("digits"))
    'lenet5'
    """
    if ds.task == "none":
        return "conv-autoencoder" if ds.kind == "image" else "autoencoder"
    if ds.kind == "series":
        return "series-cnn"
    if ds.kind == "table":
        return "mlp"
    channels, height, width = ds.in_shape
    return "lenet5" if channels == 1 and max(height, width) <= 32 else "resnet20"
