from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from scipy.special import softmax

from nervure.errors import InputError
from nervure.export import write
from nervure.export.onnx_file import OPSET, session


def _run(case, size):
    opened = onnxruntime.InferenceSession(str(case.files["onnx"].path), providers=["CPUExecutionProvider"])
    feed = {"x": case.x[:size].float().numpy()}
    if case.mask is not None:
        feed["mask"] = case.mask[:size].numpy()
    return dict(zip([one.name for one in opened.get_outputs()], opened.run(None, feed), strict=True))


@pytest.mark.parametrize("kind", ["image", "series"])
@pytest.mark.parametrize("size", [1, 2, 6])
def test_stored_values_give_logits_and_probabilities(written, kind, size):
    case = written[kind]
    found = _run(case, size)
    np.testing.assert_allclose(found["logits"], case.logits[:size], atol=1e-5)
    np.testing.assert_allclose(found["probabilities"], softmax(case.logits[:size].numpy(), axis=1), atol=1e-6)


@pytest.mark.parametrize("kind", ["image", "series"])
def test_the_file_is_sound_and_whole(written, kind):
    path = written[kind].files["onnx"].path
    model = onnx.load(str(path))
    onnx.checker.check_model(model, full_check=True)
    assert [(one.domain, one.version) for one in model.opset_import if one.domain == ""] == [("", OPSET)]
    assert [one.type.tensor_type.shape.dim[0].dim_param for one in model.graph.input] == ["batch"] * len(
        model.graph.input
    )
    assert [one.name for one in model.graph.output] == ["logits", "probabilities"]
    assert list(path.parent.glob("*.data")) == []
    assert {entry.key for entry in model.metadata_props} >= {
        "nervure.names",
        "nervure.preprocessing",
        "nervure.task",
    }


def test_no_path_of_this_machine_is_inside(written):
    data = written["series"].files["onnx"].path.read_bytes()
    assert b".py" not in data


def test_an_operation_that_onnx_lacks_is_named_with_its_layer(nets, tmp_path):
    net = torch.nn.Sequential(torch.nn.Identity(), nets.Singular())
    with pytest.raises(InputError, match=r"layer '1' \(Singular\) uses aten\._linalg_svd.*pt2"):
        write(net, tmp_path / "a.onnx", "onnx", samples=torch.rand(3, 4, 4))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_onnx_is_refused(tmp_path):
    path = tmp_path / "a.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(InputError, match=r"a\.onnx: ONNX Runtime cannot load it"):
        session(path)


class Named(torch.nn.Linear):
    """Names its outputs as it is told."""

    def __init__(self, *names):
        super().__init__(3, 2)
        self.names = names

    def forward(self, x):
        return dict.fromkeys(self.names[1:], super().forward(x)) | {self.names[0]: x[:, :2].relu()}


def test_outputs_keep_their_names_beside_what_is_inside(tmp_path):
    net, x = Named("net.weight", "linear", "relu"), torch.linspace(-1, 1, 12).reshape(4, 3)
    done = write(net, tmp_path / "a.onnx", "onnx", samples=x)
    opened = session(done.path)
    found = dict(zip([one.name for one in opened.get_outputs()], opened.run(None, {"x": x.numpy()}), strict=True))
    assert list(found) == ["linear", "relu", "net.weight"]
    for name, wanted in net(x).items():
        np.testing.assert_allclose(found[name], wanted.detach(), atol=1e-6)


@pytest.mark.parametrize("name", ["x", "mask"])
def test_an_output_with_the_name_of_an_input_is_refused(tmp_path, name):
    series = torch.rand(4, 2, 3)
    with pytest.raises(InputError, match=f"onnx: output '{name}' has the name of an input; .* or export pt2"):
        write(Named(name), tmp_path / "a.onnx", "onnx", samples=series, mask=torch.ones(4, 3, dtype=torch.bool))
    assert list(tmp_path.iterdir()) == []


def test_more_weights_than_one_file_holds_are_refused_before_work(monkeypatch, tmp_path):
    monkeypatch.setattr("nervure.export.onnx_file._LARGEST", 8)
    with pytest.raises(InputError, match="pt2 or safetensors"):
        write(torch.nn.Linear(2, 2), tmp_path / "a.onnx", "onnx", samples=torch.rand(3, 2))
