"""A million images of 28 x 28 through one cluster phase, in bounded memory: encode, a Lloyd step and an EM step.

    python benchmarks/cluster_large.py [--samples 1000000] [--folder DIR]

The images are made piece by piece into a file of bytes (784 MB for a million) in a temporary folder, mapped into
memory and streamed. Memory is that which belongs to the process alone, looked at a hundred times a second: pages of
the mapped file are the system's, which takes them back at will; they are reported apart, in the peak of all resident
memory. What may be added to what the process holds before is 256 MiB, and a further 400 bytes a sample: its latents
before and after the norm in single precision, their centred copy in double, clusters, places. The images themselves
are 784 bytes a sample as they are stored, and 3,136 as a network reads them.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from common import machine, write_result

from nervure.cluster import clusterers
from nervure.cluster.encode import BATCH, encode
from nervure.cluster.heads.head import Group
from nervure.cluster.method import begin
from nervure.cluster.watch import health
from nervure.data import Dataset, Loader, from_arrays

CLUSTERS, PIECE = 10, 10_000
FIXED, EACH = 256 * 2**20, 400


def write_images(path: Path, samples: int) -> None:
    """Images of ten kinds with noise, (samples, 1, 28, 28) bytes, written piece by piece."""
    x = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(samples, 1, 28, 28))
    generator = np.random.default_rng(0)
    kinds = np.kron(generator.random((CLUSTERS, 7, 7)), np.ones((4, 4))).astype(np.float32) * 200
    for start in range(0, samples, PIECE):
        count = min(PIECE, samples - start)
        noise = generator.standard_normal((count, 28, 28), dtype=np.float32) * 20
        x[start : start + count, 0] = (kinds[generator.integers(CLUSTERS, size=count)] + noise).clip(0, 255)
        x.flush()


def own_memory() -> int:
    """Bytes that belong to this process alone."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


class Watch:
    """The most memory of its own that the process has within."""

    def __enter__(self) -> Watch:
        self.start = self.most = own_memory()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def _look(self) -> None:
        while not self._over.wait(0.01):
            self.most = max(self.most, own_memory())

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.most = max(self.most, own_memory())


def phase(ds: Dataset, method_name: str, seconds: dict[str, float]) -> dict[str, float]:
    """One cluster phase over all samples, as between two epochs."""
    model = clusterers.get(method_name)(CLUSTERS, warmup=0, random_state=0)
    ds, method = model.prepared(ds)
    net = begin(method, CLUSTERS, ds)
    loader = Loader(ds, "train", BATCH, cache=False)

    def timed(what: str, work: Callable[[], object]) -> object:
        started = time.perf_counter()
        found = work()
        seconds[f"{method_name}: {what}"] = round(time.perf_counter() - started, 3)
        return found

    group = timed("encode", lambda: encode(net, loader, len(ds)))
    assert isinstance(group, Group)
    timed("first parameters", lambda: net.head.begin(group))
    found = timed("step", lambda: net.head.refresh(group, 1))
    watched = health(net.head, group, found.assigned)
    return {"effective_clusters": watched.logs["effective_clusters"], "latent_spread": watched.logs["latent_spread"]}


def measure(samples: int, folder: str | None) -> dict[str, object]:
    """Make the images, run both phases, and say what memory they took."""
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="nervure-", dir=folder) as place:
        path = Path(place) / "x.npy"
        with Watch() as making:
            write_images(path, samples)
        x = np.load(path, mmap_mode="r")
        phase(from_arrays(x[:2000], validation=0, test=0, standardize="each-min-max"), "dcae-gmm", {})  # warms up
        with Watch() as seen:
            started = time.perf_counter()
            ds = from_arrays(x, validation=0, test=0, standardize="each-min-max")
            seconds["data set"] = round(time.perf_counter() - started, 3)
            found = {name: phase(ds, name, seconds) for name in ("dcae-kmeans", "dcae-gmm")}
    added, allowed = seen.most - seen.start, FIXED + EACH * samples
    return {
        "samples": samples,
        "added_mib": round(added / 2**20, 1),
        "allowed_mib": round(allowed / 2**20, 1),
        "making_the_images_mib": round((making.most - making.start) / 2**20, 1),
        "peak_own_mib": round(seen.most / 2**20, 1),
        "peak_resident_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "images_mib": round(samples * 784 / 2**20, 1),
        "phases": found,
        "phase_seconds": seconds,
        "holds": added <= allowed,
    }


def main() -> None:
    """Measure, write, and fail where memory was not bounded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", help="where the temporary folder is made")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "cluster_large.json")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    about = machine(given.threads)
    result = {
        "claim": "the cluster phase of a million images streams them, in bounded memory",
        "command": f"python benchmarks/cluster_large.py --samples {given.samples}",
        "network": "conv-autoencoder, 1x28x28, 10 latents",
        **measure(given.samples, given.folder),
        "machine": about,
    }
    write_result(given.out, result)
    if not result["holds"]:
        raise SystemExit(f"{result['added_mib']} MiB were added, {result['allowed_mib']} are allowed")


if __name__ == "__main__":
    main()
