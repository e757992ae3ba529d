"""Networks for clustering leave as files that give what they give, and lose units that prune really removes."""

import pytest
import torch

from nervure import export, nets
from nervure.nets.structure.cut import cut
from nervure.nets.structure.layers import examine
from nervure.nets.structure.silence import ablated

TIME = 14
MASK = torch.arange(TIME) < torch.tensor([[3], [14], [9], [14]])
NETS = {
    "conv-autoencoder": ((1, 10, 10), {"units": [4, 6, 8], "latent_norm": "batchnorm"}),
    "series-autoencoder": ((3, TIME), {"units": [4, 6], "kernel": 5, "batch_norm": True}),
    "dilated-autoencoder": ((2, TIME), {"units": 6}),
    "mixture-cnn": ((3, 16, 16), {"width": 0.2, "sobel": True}),
}


def make(name, **more):
    in_shape, settings = NETS[name]
    net = nets.build(name, in_shape=in_shape, classes=3, **settings, **more)
    x = torch.randn(4, *in_shape, generator=torch.Generator().manual_seed(0))
    net(x)
    return net.eval(), x


# torch.export takes half a second; translating to ONNX takes seconds more, so it is done where most could go wrong.
@pytest.mark.parametrize(
    ("name", "format", "more"),
    [
        ("conv-autoencoder", "pt2", {}),
        ("series-autoencoder", "pt2", {}),
        ("dilated-autoencoder", "onnx", {}),
        ("dilated-autoencoder", "pt2", {"pooling": "attention"}),
        ("mixture-cnn", "onnx", {}),
    ],
)
def test_files_give_what_the_network_gives(name, format, more, tmp_path):
    net, x = make(name, **more)
    mask = MASK if name == "dilated-autoencoder" else None
    written = export.write(net, tmp_path / f"net.{format}", format, samples=x, mask=mask)
    assert written.path.exists()


@pytest.mark.parametrize("name", NETS)
def test_encoders_can_be_cut(name):
    net, x = make(name)
    encoder = net.encoder if hasattr(net, "encoder") else net
    graph = examine(encoder, x)
    assert graph.free
    assert [group.why for group in graph.groups if group.why] == ["its units are the network's output"]
    kept = {group.name: list(range(1, group.units)) for group in graph.free}
    with torch.no_grad():
        thin = cut(encoder, graph.groups, kept)(x)
        whole = encoder(x)
        with ablated(encoder, kept, graph=graph):
            without = encoder(x)
    assert torch.allclose(thin, without, atol=1e-5)
    assert not torch.allclose(thin, whole, atol=1e-3)
