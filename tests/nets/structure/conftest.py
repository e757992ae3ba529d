"""The zoo of strange networks, for this folder's tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import nn

from zoo import ZOO, make


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes ``strange`` runs on every network of the zoo."""
    if "strange" in metafunc.fixturenames:
        metafunc.parametrize("strange", sorted(ZOO))


@pytest.fixture
def zoo() -> Callable[[str], tuple[nn.Module, tuple[int, ...]]]:
    return make
