"""A network borrowed for a pass: handed back as it was, also when the pass fails."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

__all__ = ["borrowed", "device_of"]


def device_of(net: nn.Module) -> torch.device:
    """Where the first parameter or buffer lies; the CPU for a network without any.

    >>> device_of(nn.ReLU())
    device(type='cpu')
    """
    for part in (*net.parameters(), *net.buffers()):
        return part.device
    return torch.device("cpu")


@contextmanager
def borrowed(
    net: nn.Module, device: torch.device | str | None = None, *, frozen: bool = False
) -> Iterator[torch.device]:
    """Evaluation mode on ``device``; afterwards each submodule's mode, flags and place are as before.

    ``frozen`` keeps gradients away from parameters, so that a backward pass leaves no trace in ``.grad`` and
    costs no more than activations need. Fused attention is off meanwhile, because it skips hooks, and what was
    compiled runs as it was written, because hooks of ours are not to be compiled.

    >>> net = nn.Sequential(nn.Dropout())
    >>> with borrowed(net):
    ...     net[0].training
    False
    >>> net[0].training
    True
    """
    home = device_of(net)
    there = home if device is None else torch.device(device)
    modes = [(module, module.training) for module in net.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in net.parameters()]
    fused = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        stack.callback(lambda: torch.backends.mha.set_fastpath_enabled(fused))
        torch.backends.mha.set_fastpath_enabled(False)
        if "torch._dynamo" in sys.modules:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        if there != home:
            stack.callback(lambda: net.to(home))
            net.to(there)
        stack.callback(_restore_modes, modes)
        net.eval()
        if frozen:
            stack.callback(lambda: [parameter.requires_grad_(flag) for parameter, flag in flags])
            for parameter, _ in flags:
                parameter.requires_grad_(False)
            # cuDNN refuses to differentiate recurrent layers in evaluation mode.
            stack.enter_context(torch.backends.cudnn.flags(enabled=not _recurrent(net)))
        yield there


def _restore_modes(modes: list[tuple[nn.Module, bool]]) -> None:
    for module, mode in modes:
        module.training = mode


def _recurrent(net: nn.Module) -> bool:
    return any(isinstance(module, nn.RNNBase) for module in net.modules())
