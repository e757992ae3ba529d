"""Two ways for a network of your own: a function that Nervure builds with, and a module that exists already.

python examples/own_network.py [--epochs 10] [--out runs/own]
"""

import argparse

import torch
from torch import nn

import nervure as nv


def small(in_shape: tuple[int, ...], classes: int, width: int = 16) -> nn.Module:
    """A function of the shape of one sample and the number of outputs; further arguments are its settings."""
    channels, height, side = in_shape
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(width * (height // 2) * (side // 2), classes),
    )


class Mine(nn.Module):
    """A module that knows nothing of Nervure."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(64, 24), nn.Linear(24, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.outer(torch.relu(self.inner(x.flatten(1))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--out", default="runs/own")
    args = parser.parse_args()
    ds = nv.data.load("digits")
    recipe = nv.train.Recipe(epochs=args.epochs, seed=0)

    # By a function: the run keeps its name, and whoever loads the run names it again, so nothing is run unasked.
    net = nv.nets.build("own_network:small", ds, width=24)
    run = nv.train.fit(net, ds, recipe, out=f"{args.out}/function", overwrite=True)
    again = nv.store.load(f"{args.out}/function", build="own_network:small")
    print(f"function: {run.metrics['accuracy']:.4f}, loaded {nv.train.evaluate(again, ds).metrics['accuracy']:.4f}")

    # As it is: trained, measured and saved like any other; to load it, say how it is made.
    run = nv.train.fit(Mine(), ds, recipe, out=f"{args.out}/module", overwrite=True)
    again = nv.store.load(f"{args.out}/module", build=lambda in_shape, classes: Mine())
    print(f"module: {run.metrics['accuracy']:.4f}, loaded {nv.train.evaluate(again, ds).metrics['accuracy']:.4f}")


if __name__ == "__main__":
    main()
