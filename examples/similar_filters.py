"""How k-means finds filters that look alike, in pictures: points in the plane stand for filters of two weights.

python examples/similar_filters.py [--seed 0]
"""

import argparse

import nervure as nv
from nervure.prune.ssim.toy import in_the_plane, method

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

*steps, silhouettes = in_the_plane(args.seed)
for step in steps:
    print(f"{step.title}: {step.alt}")

intro = "Filters that are most like each other come together, and one of each cluster stays in the network."
page = nv.report.page(
    "Filters that look alike",
    [
        nv.report.Section("The method", intro, [method()]),
        nv.report.Section("In the plane", "Each point is a filter of two weights.", steps),
        nv.report.Section("How well do they lie?", silhouettes.alt, [silhouettes]),
    ],
)
nv.report.write("similar_filters.html", page, overwrite=True)
print("open similar_filters.html")
