from __future__ import annotations

import logging
import re
import sys
import warnings

import pytest
import torch
from torch import nn

from nervure.errors import InputError
from nervure.export import Deployed, Job
from nervure.export.graph import capture, quiet


def _job(net: nn.Module, *in_shape: int) -> Job:
    return Job(Deployed(net).eval(), in_shape, False, ("output",), {})


def test_one_graph_serves_every_batch_size(nets):
    net = nets.Small().eval()
    graph = capture(_job(net, 2, 5, 5)).module()
    for size in (1, 2, 6):
        x = torch.rand(size, 2, 5, 5)
        torch.testing.assert_close(graph(x)["output"], net(x))


def test_a_branch_on_values_names_layer_line_and_remedy(nets):
    with pytest.raises(InputError, match=r"^layer 'gate' \(Sign, conftest\.py:\d+\) decides .* torch\.where") as caught:
        capture(_job(nets.Branching(), 4))
    assert "\n" not in str(caught.value)


def test_a_branch_in_the_network_itself_is_named_too(nets):
    network = type(nets.Branching().gate)()
    with pytest.raises(InputError, match=r"^the network \(Sign, conftest\.py:\d+\) decides"):
        capture(_job(network, 4))


def test_a_fixed_batch_is_said():
    class Fixed(nn.Module):
        def forward(self, x):
            return x * len(list(x))

    with pytest.raises(InputError, match="one batch size only"):
        capture(_job(Fixed(), 4))


def test_the_graph_holds_no_path_of_this_machine(nets):
    program = capture(_job(nets.Small(), 2, 5, 5))
    assert not [node for node in program.graph.nodes if "stack_trace" in node.meta]


def test_quiet_keeps_the_console_still_and_the_log_informed(capfd, caplog):
    torch_log = logging.getLogger("torch.onnx.example")
    handler = logging.StreamHandler(sys.stderr)
    torch_log.addHandler(handler)
    try:
        with caplog.at_level(logging.DEBUG, logger="nervure.export"), quiet():
            sys.stdout.write("chatter\n")
            warnings.warn("beware", stacklevel=1)
            torch_log.warning("oh dear")
        assert handler.filters == []
    finally:
        torch_log.removeHandler(handler)
    out, err = capfd.readouterr()
    assert out == ""
    assert "beware" not in err
    assert "chatter" in caplog.text
    assert re.search("torch.onnx.example: oh dear", caplog.text)


def test_quiet_lets_errors_through_and_cleans_up():
    before = sys.stdout
    with pytest.raises(ZeroDivisionError), quiet():
        _ = 1 / 0
    assert sys.stdout is before
