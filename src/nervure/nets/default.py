"""Which network to start from when the user names none."""

from __future__ import annotations

from collections.abc import Sequence

from nervure.data.dataset import Dataset, Kind

__all__ = ["default_autoencoder", "default_for"]

SHORT = 8


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


def default_autoencoder(ds_kind: Kind, in_shape: Sequence[int], unequal: bool) -> tuple[str, dict[str, object]]:
    """The name and settings of an auto-encoder that suits the data, for clustering its latents.

    Images get ``conv-autoencoder``, tables ``autoencoder``. Series of unequal lengths get
    ``dilated-autoencoder``, which leaves padding out; whole ones ``conv-autoencoder``, which is cheaper and
    keeps where in time something is, or ``autoencoder`` below 8 steps, where there is nothing to stride over.

    Parameters
    ----------
    ds_kind : str
        ``"image"``, ``"series"`` or ``"table"``, as ``Dataset.kind``.
    in_shape : sequence of int
        One sample's shape.
    unequal : bool
        Whether series are padded, and so have a mask.

    Examples
    --------
    >>> default_autoencoder("image", (1, 28, 28), False)
    ('conv-autoencoder', {})
    >>> default_autoencoder("series", (3, 50), True)
    ('dilated-autoencoder', {})
    """
    if ds_kind == "series" and unequal:
        return "dilated-autoencoder", {}
    if ds_kind == "table" or (ds_kind == "series" and in_shape[-1] < SHORT):
        return "autoencoder", {}
    return "conv-autoencoder", {}
