"""A criterion, an objective, a callback with state, a figure and a network, each one row in ``pyproject.toml``."""

from dataclasses import dataclass
from html import escape

import numpy as np
from torch import nn

from nervure.evidence import Figure
from nervure.judge import Criterion, Judgement
from nervure.objectives.call import call
from nervure.observe import Moments
from nervure.train import Callback


class Spread(Criterion):
    """Units whose output varies more stay longer."""

    def wants(self, layer):
        return {"moments": Moments()}

    def judge(self, layer, weights, results, probe=None):
        return Judgement(results["moments"].sd)


@dataclass
class Focal:
    """Cross-entropy that cares less for what is known already."""

    gamma: float = 2.0

    def __call__(self, net, batch):
        logs = call(net, batch).log_softmax(1).gather(1, batch.y[:, None])[:, 0]
        return (-((1 - logs.exp()) ** self.gamma) * logs).mean(), {}


class Pulse(Callback):
    """The size of the weights after every epoch, as a figure; ``state_dict`` makes it survive a resume."""

    def __init__(self):
        self.sizes = []

    def after_epoch(self, loop, row):
        self.sizes.append(sum(float(one.detach().norm()) for one in loop.net.parameters()))

    def finish(self, loop):
        values = np.array(self.sizes)
        alt = f"From {values[0]:.3g} to {values[-1]:.3g}."
        loop.evidence["pulse"] = Figure(kind="strip", title="Size of the weights", alt=alt, data={"values": values})

    def state_dict(self):
        return {"sizes": self.sizes}

    def load_state_dict(self, state):
        self.sizes = list(state["sizes"])


def strip(figure):
    """How a figure of kind ``strip`` is drawn: HTML, with every text from data escaped."""
    return f"<p>{escape(figure.title)}: {', '.join(f'{one:.3g}' for one in figure.data['values'])}</p>"


def one_layer(in_shape, classes, bias=True):
    """A linear classifier."""
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(in_shape)), classes, bias=bias))
