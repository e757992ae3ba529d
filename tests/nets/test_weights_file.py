import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from nervure import nets, sparsify
from nervure.errors import InputError
from nervure.nets.weights_file import load_weights
from nervure.store.packed import save_weights

SHAPE = {"in_shape": (4,), "classes": 2, "widths": [3]}


@pytest.fixture
def state():
    return nets.build("mlp", seed=9, **SHAPE).state_dict()


@pytest.mark.parametrize("kind", ["safetensors", "pt", "nested.pth"])
def test_own_weights_are_taken(tmp_path, state, kind):
    path = tmp_path / f"w.{kind}"
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": state, "epoch": 3} if "nested" in kind else state, path)
    net = nets.build("mlp", weights=path, **SHAPE)
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("kind", ["packed", "masked"])
def test_weights_of_sparse_runs_are_taken(tmp_path, kind):
    net = nets.build("mlp", seed=9, in_shape=(40,), classes=2, widths=[30])
    thin = sparsify.plan(net, None, "magnitude", 0.9).apply(net)
    plain = sparsify.bake(thin)
    save_weights(tmp_path / "w.safetensors", (plain if kind == "packed" else thin).state_dict())
    assert any(":bits" in name for name in load_file(tmp_path / "w.safetensors"))
    found = nets.build("mlp", weights=tmp_path / "w.safetensors", in_shape=(40,), classes=2, widths=[30])
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in found.state_dict().items())


def test_mismatch_names_the_first_differences(tmp_path, state):
    state["classifier.0.weight"] = torch.zeros(5, 4)
    state["extra"] = torch.zeros(1)
    del state["classifier.2.bias"]
    save_file(state, tmp_path / "w.safetensors")
    message = (
        r"'classifier.0.weight' is \(5, 4\) in the file and \(3, 4\) in the network; "
        r"missing: classifier.2.bias; not in the network: extra"
    )
    with pytest.raises(InputError, match=message):
        nets.build("mlp", weights=tmp_path / "w.safetensors", **SHAPE)


def test_nan_is_refused(tmp_path, state):
    state["classifier.0.bias"][0] = float("nan")
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"'classifier.0.bias' holds NaN"):
        nets.build("mlp", weights=tmp_path / "w.safetensors", **SHAPE)


class Runs:
    def __reduce__(self):
        return (print, ("this must never run",))


def test_a_pickle_with_code_is_not_run(tmp_path, capsys):
    torch.save({"weight": Runs()}, tmp_path / "w.pt")
    with pytest.raises(InputError, match="more than weights, and is not run"):
        load_weights(nn.Linear(2, 1), tmp_path / "w.pt")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("w.safetensors", b"damaged", "cannot be read as weights"),
        ("w.pt", b"damaged", "is not run|cannot be read"),
        ("w.h5", b"", "unknown kind of file"),
        ("w.pth", None, "holds no plain mapping"),
    ],
)
def test_bad_files(tmp_path, name, content, message):
    path = tmp_path / name
    if content is None:
        torch.save([1, 2], path)
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_weights(nn.Linear(2, 1), path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_plain_pickle_is_refused(tmp_path):
    (tmp_path / "w.bin").write_bytes(pickle.dumps({"weight": 1}))
    with pytest.raises(InputError):
        load_weights(nn.Linear(2, 1), tmp_path / "w.bin")
