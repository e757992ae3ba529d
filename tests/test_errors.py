import importlib.util
import subprocess
import sys

import pytest

from nervure import errors


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.NervureError, 1),
        (errors.InputError, 2),
        (errors.RunError, 2),
        (errors.DivergedError, 1),
        (errors.InterruptedWork, 130),
    ],
)
def test_each_kind_has_its_exit_code(kind, code):
    error = kind("what, where, what to do")
    assert error.exit_code == code
    assert str(error) == "what, where, what to do"
    assert isinstance(error, errors.NervureError)


def test_input_errors_are_value_errors_so_that_plain_code_catches_them():
    with pytest.raises(ValueError, match="k = 0"):
        raise errors.InputError("k = 0; give 2 or more")


def test_a_missing_extra_names_package_job_and_command():
    error = errors.MissingExtra("plotly", "report", "an interactive figure")
    assert str(error) == (
        "an interactive figure needs plotly, which is not installed; run: pip install 'nervure[report]'"
    )
    assert error.exit_code == 2


def test_every_public_name_is_an_error():
    assert all(issubclass(getattr(errors, name), errors.NervureError) for name in errors.__all__)


def test_the_room_imports_nothing_heavy():
    script = "import sys, nervure.errors, nervure.registry; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert importlib.util.find_spec("torch") is not None
    assert not {"torch", "numpy", "matplotlib", "plotly"} & set(loaded)
