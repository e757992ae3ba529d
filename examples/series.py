"""Series of unequal length, in several channels: classify them, and save predictions that respect the lengths.

python examples/series.py [--epochs 20] [--samples 400]
"""

import argparse

import numpy as np

import nervure as nv

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--samples", type=int, default=400)
args = parser.parse_args()

# Recordings of 20 to 60 steps in two channels. What a short one lacks at its end is NaN, which becomes a mask.
rng = np.random.default_rng(0)
lengths = rng.integers(20, 61, args.samples)
label = np.array(["rising", "falling"])[rng.integers(0, 2, args.samples)]
time = np.arange(60)
slope = np.where(label == "rising", 1.0, -1.0)[:, None] * time / 30
x = np.stack([slope + rng.normal(0, 3, (args.samples, 60)), rng.normal(0, 1, (args.samples, 60))], axis=1)
x[np.broadcast_to((time >= lengths[:, None])[:, None], x.shape)] = np.nan

ds = nv.data.from_arrays(x.astype(np.float32), label, layout="ct")
print(f"{len(ds)} series, channels and longest length {ds.in_shape}, classes {', '.join(ds.names)}")

# This network takes the mask: its mean runs over the steps that a series really has.
recipe = nv.train.Recipe(
    epochs=args.epochs,
    batch=32,
    monitor="accuracy",
    augment={"jitter": 0.05},
    seed=0,
)
run = nv.train.fit(nv.nets.build("series-cnn", ds), ds, recipe)
print(f"accuracy on test: {run.metrics['accuracy']:.3f}")

# Padding has no say: other values behind the end of a series give the same answer.
at = ds.indices("test")
before = nv.train.predict(run, ds, at)
ds.x[np.broadcast_to(~ds.mask[:, None], ds.x.shape)] = 1e3
after = nv.train.predict(run, ds, at)
print(f"largest change when the padding is filled with 1000: {np.abs(after - before).max():.1e}")

short = lengths[at] < 40
for name, which in (("short", short), ("long", ~short)):
    right = [ds.names[int(row.argmax())] for row in before[which]] == label[at][which]
    print(f"{name} series: {np.mean(right):.3f} right of {which.sum()}")
