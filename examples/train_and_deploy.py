"""From data to a file that runs without Nervure: train, measure, export, and ask the file itself.

python examples/train_and_deploy.py [--data digits] [--epochs 20] [--out runs/example]
"""

import argparse

import numpy as np
import onnxruntime
import torch

import nervure as nv

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--data", default="digits", help="a name, a file, or a folder of class folders")
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--out", default="runs/example")
args = parser.parse_args()

# Data: whatever it comes from, it has splits, class names, and a scaling measured on its training split.
ds = nv.data.load(args.data)
print(f"{len(ds)} {ds.kind} samples of {ds.in_shape}, {ds.classes} classes")

# A network that fits it, and how it is trained. The recipe is data: it is stored with the run.
net = nv.nets.build(nv.nets.default_for(ds), ds, seed=0)
recipe = nv.train.Recipe(epochs=args.epochs, batch=64, schedule="cosine", monitor="accuracy", seed=0)


def tell(where: nv.train.Progress) -> None:
    """One line an epoch."""
    if where.row is not None:
        print(f"epoch {where.epoch} of {where.epochs}: training loss {where.row['train_loss']:.4f}")


run = nv.train.fit(net, ds, recipe, out=args.out, overwrite=True, progress=tell)
print(f"accuracy on test: {run.metrics['accuracy']:.4f}, {run.metrics['macs']:,.0f} multiply-adds a sample")

# The file takes values as they are stored and scales them itself. It gets its name only if its answers agree.
at = ds.indices("test")
raw = torch.from_numpy(np.ascontiguousarray(ds.x[at], dtype=np.float32))
done = nv.export.write(
    run.net,
    f"{args.out}.onnx",
    "onnx",
    samples=raw[:64],
    preprocessing=run.preprocessing,
    names=run.names,
    task=run.task,
    overwrite=True,
)
session = onnxruntime.InferenceSession(str(done.path))
(probabilities,) = session.run(["probabilities"], {"x": raw.numpy()})
print(f"accuracy of {done.path}: {np.mean(probabilities.argmax(axis=1) == ds.y[at]):.4f}")

# The page of the run: one file that opens offline.
page = nv.report.write(f"{args.out}/report.html", nv.report.run_page(run), overwrite=True)
print(f"open {page}")
