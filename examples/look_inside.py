"""What the units of a trained network do, and which of them matter: statistics, criteria, and the proof by masking.

python examples/look_inside.py [--epochs 15]
"""

import argparse

import torch

import nervure as nv
from nervure.judge import Criterion, Judgement, judge, select
from nervure.observe import Moments, ZeroFraction

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--epochs", type=int, default=15)
args = parser.parse_args()

ds = nv.data.load("digits")
net = nv.nets.build("lenet5", ds, seed=0)
run = nv.train.fit(net, ds, nv.train.Recipe(epochs=args.epochs, monitor="accuracy", seed=0))
batches = list(nv.data.batches(ds, "train", 256))  # a list, because it is read more than once

# One pass over the training split gives every statistic at every layer that is asked for.
wanted = {name: [Moments(), ZeroFraction()] for name, module in run.net.named_modules() if name.count(".") == 1}
for site, statistics in nv.observe.collect(run.net, batches, wanted).items():
    mean = statistics[Moments().key].result().mean
    print(f"{site.module:14} {len(mean):4} units, mean activation {mean.mean():+.3f}")


class Spread(Criterion):
    """A unit whose output never varies tells the next layer nothing."""

    def wants(self, layer):
        return {"moments": Moments()}

    def judge(self, layer, weights, results, probe=None):
        return Judgement(results["moments"].sd)


class Chance(Criterion):
    """The control: a rule that knows nothing."""

    def judge(self, layer, weights, results, probe=None):
        return Judgement(torch.rand(layer.units, generator=torch.Generator().manual_seed(0)))


# Judge the second convolution, keep half of its units, silence the others, and see what that costs.
verdicts = judge(run.net, batches, {"spread": Spread(), "chance": Chance()})
layer = "features.3"
print(f"whole: accuracy on validation {nv.train.evaluate(run, ds, split='validation').metrics['accuracy']:.3f}")
for name, verdict in verdicts.items():
    units = len(verdict[layer].scores)
    mask = torch.zeros(units).index_fill(0, select(verdict[layer].scores, units // 2), 1.0)
    handle = run.net.get_submodule(layer).register_forward_hook(lambda _, __, out, on=mask: out * on.view(1, -1, 1, 1))
    found = nv.train.evaluate(run.net, ds, split="validation").metrics
    handle.remove()
    print(f"{name}: {units // 2} of {units} units left, accuracy on validation {found['accuracy']:.3f}")
