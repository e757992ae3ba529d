"""What a network's zeros give and what they do not, in plain words."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["verdict"]


def verdict(
    before: int,
    after: int,
    removable: int,
    stuck: int = 0,
    *,
    compacted: bool = False,
    masked: bool = False,
    pays: Sequence[str] | None = None,
) -> str:
    """Sentences on bytes and on time.

    Parameters
    ----------
    before, after : int
        Bytes of the weights' file, dense and as it is kept.
    removable : int
        Units that lost their edges and can go.
    stuck : int
        Units that lost them and cannot.
    compacted : bool
        Whether they went.
    masked : bool
        Whether all weights are kept beside their masks.
    pays : sequence of str, optional
        Layers in which sparse kernels were measured to be faster, if they were measured.

    Examples
    --------
    >>> verdict(86352, 13488, 0).partition(". ")[0]
    'The zeros are packed, so the file shrank from 86,352 to 13,488 bytes'
    >>> verdict(86352, 13488, 0, 17).rpartition(". ")[2]
    '17 units lost all edges in or out and must stay: the page says why.'
    """
    units, others = (f"{count} unit{'' if count == 1 else 's'}" for count in (removable, stuck))
    parts = [_bytes(before, after, masked)]
    if compacted and removable:
        parts.append(f"{units} without edges went, which makes calls cheaper; dense kernels multiply by other zeros.")
    elif pays:
        parts.append("Dense kernels multiply by zeros too.")
    else:
        parts.append("Sparsity does not pay in time here: dense kernels multiply by zeros too.")
    if removable and not compacted:
        parts.append(f"{units} lost all edges in or out: --compact drops them.")
    if stuck:
        parts.append(f"{others} lost all edges in or out and must stay: the page says why.")
    if not removable and not stuck:
        parts.append("No unit lost all its edges in or out.")
    if pays is not None:
        where = f"{', '.join(pays)}; nervure.sparsify.sparse runs these so" if pays else "no layer"
        parts.append(f"As measured on this machine sparse kernels are faster in {where}.")
    return " ".join(parts)


def _bytes(before: int, after: int, masked: bool) -> str:
    size = f"from {before:,} to {after:,} bytes"
    if masked and after >= before:
        return f"All weights are kept beside their masks: the file grew {size}; without --keep-mask it shrinks."
    if after < before:
        return f"The zeros are packed, so the file shrank {size}."
    return f"The file did not shrink ({after:,} bytes): packing pays from about a seventh of zeros on."
