"""How many clusters there are: fits with several numbers and seeds, and a stated rule that chooses among them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from nervure.cluster.seeds import STABLE, Progress, seeds_from
from nervure.errors import InputError
from nervure.evidence import Curve, Table

if TYPE_CHECKING:
    from nervure.cluster.counts import Count, Fit, Latents
    from nervure.cluster.estimator import DeepClusterer
    from nervure.data.dataset import Dataset

__all__ = ["Choice", "Rule", "by_bic", "by_silhouette", "by_stability", "choose"]

Rule = Literal["silhouette", "stability", "bic", "die"]
RULES: tuple[Rule, ...] = get_args(Rule)

NO_STRUCTURE = 0.25
"""A mean silhouette up to here speaks of no clusters at all (Kaufman and Rousseeuw 1990)."""

NEARLY = 0.9
"""The share of the best stability that a number of clusters needs."""


@dataclass(frozen=True)
class Choice:
    """A number of clusters, and what it was chosen by.

    Parameters
    ----------
    k : int
        The number that was chosen.
    rule : str
        By which rule of :func:`choose`.
    rows : tuple of Count
        The measures of each number.
    seeds : tuple of int
        The seeds of the fits.
    trained : str
        How often the network was trained, and with what.
    latent : int, optional
        The size of a latent that all fits shared, where they were given one.
    notes : tuple of str
        What speaks against any number; empty if nothing does.
    course : tuple of float
        With the rule ``die``, the clusters that had members after each epoch; NaN before the first.
    """

    k: int
    rule: Rule
    rows: tuple[Count, ...]
    seeds: tuple[int, ...]
    trained: str
    latent: int | None = None
    notes: tuple[str, ...] = ()
    course: tuple[float, ...] = ()

    def table(self) -> Table:
        """A line for each number of clusters."""
        rows = []
        for row in self.rows:
            measures = (row.silhouette, row.silhouette_spread, row.stability, row.stability_spread)
            chosen = "yes" if row.k == self.k else ""
            rows.append((row.k, *measures, row.weakest, row.bic, row.bic_spread, row.used, chosen))
        columns = (
            "clusters", "silhouette", "its spread", "stability", "its spread ", "weakest cluster", "BIC",
            "its spread  ", "in use", "chosen",
        )  # fmt: skip
        return Table(
            title=f"Numbers of clusters: {self.k} by {self.rule}",
            alt=f"Measures of {len(self.rows)} numbers of clusters over {len(self.seeds)} seeds; {self.k} was chosen. "
            f"The network was trained {self.trained}. {' '.join(self.notes)}".strip(),
            columns=columns,
            rows=rows,
        )

    def figure(self) -> Curve:
        """The measures over the number of clusters, with their spread over seeds; with ``die``, over the epochs."""
        if self.rule == "die":
            return self._course()
        if self.rule == "bic":
            lines, labels = [[row.bic for row in self.rows]], ["BIC"]
            spread = [[row.bic_spread for row in self.rows]]
        else:
            lines = [[row.silhouette for row in self.rows], [row.stability for row in self.rows]]
            spread = [[row.silhouette_spread for row in self.rows], [row.stability_spread for row in self.rows]]
            labels = ["silhouette", "stability over seeds"]
        return Curve(
            title=f"{self.k} clusters, by {self.rule}",
            alt=f"{' and '.join(labels)} for {self.rows[0].k} to {self.rows[-1].k} clusters, in the mean over "
            f"{len(self.seeds)} seeds with the standard deviation as a band; {self.k} were chosen. "
            f"{' '.join(self.notes)}".strip(),
            x=np.array([row.k for row in self.rows]),
            y=np.array(lines, dtype=np.float64),
            spread=np.array(spread, dtype=np.float64),
            labels=labels,
            x_label="clusters",
            y_label="BIC" if self.rule == "bic" else "",
        )

    def _course(self) -> Curve:
        return Curve(
            title=f"{self.k} clusters, left of more that died",
            alt=f"Clusters with members after each epoch; {self.k} in the end.",
            x=np.arange(1, len(self.course) + 1),
            y=np.array([self.course], dtype=np.float64),
            labels=["clusters"],
            x_label="epoch" if len(self.course) > 1 else "",
        )


def choose(
    estimator: DeepClusterer,
    x: Any,
    counts: Iterable[int] = range(2, 13),
    *,
    rule: Rule = "silhouette",
    seeds: int = 3,
    refit: bool | None = None,
    out: Path | str | None = None,
    progress: Progress | None = None,
) -> Choice:
    """Choose the number of clusters by a stated rule; a choice holds the measures that it was made by.

    For each number, clones of the estimator are fitted with several seeds. Measured on at most 2,000 samples, the
    same for all fits: the mean **silhouette** of the latents; the **stability**, which is the mean adjusted Rand
    index of pairs of seeds; and for mixtures the Bayesian information criterion (**BIC**) of the latents.

    The rules:

    - ``silhouette``: the highest mean silhouette among the numbers whose stability lies within one standard error
      (of the difference) of the best stability;
    - ``stability``: the largest number whose stability is at least 0.9 of the best and whose clusters are all found
      again, with a mean Jaccard index over seeds of at least 0.75; if there is none, the largest of those first named;
    - ``bic``: the lowest mean BIC. It compares likelihoods of the same latents, so the network is trained once;
    - ``die``: one fit with the largest number, of which clusters die that are too small or that lie in one cluster
      with another (:mod:`nervure.cluster.dying`); the number that is left.

    Every rule gives a number, also where there are no clusters: then ``notes`` of the choice says that the best
    silhouette is at most 0.25, or that no number is found again over seeds.

    Parameters
    ----------
    estimator : DeepClusterer
        It is not changed; its own ``n_clusters`` is not looked at. Latents have the same size for all numbers: its
        own, or that of the largest number; those of a network of the caller's own are as it makes them.
    x : array or Dataset
        As its ``fit`` takes it.
    counts : iterable of int
        Numbers to try, from 2 up.
    rule : str
        One of those above.
    seeds : int
        Fits of each number; ``die`` makes one.
    refit : bool, optional
        Whether the network is trained anew for each number and seed. If not, it is trained once, with the
        reconstruction alone or with the largest number of clusters; each seed clusters a half of its latents, drawn
        by the seed, once for each number. That is far faster, and says less of how stable training is. By default
        True, but for ``bic``.
    out : path, optional
        A folder that keeps each fit's measures and the training that is under way; a second call with it goes on from
        there. Not with ``die``, which makes one fit.
    progress : callable, optional
        Told after each fit how many are done, and of how many.

    Examples
    --------
    >>> import nervure as nv
    >>> x = np.concatenate([np.random.default_rng(0).normal(at, 0.3, size=(40, 3)) for at in (-5, 0, 5)])
    >>> found = choose(nv.cluster.AEKMeans(epochs=5, random_state=0), x, (2, 3, 4), seeds=2, refit=False)
    >>> found.k, found.trained
    (3, 'once, with 4 clusters')
    """
    from sklearn.base import clone

    from nervure.cluster.samples import to_dataset
    from nervure.cluster.which_network import latent_of, takes_latent

    numbers = _numbers(counts)
    if rule not in RULES:
        raise InputError(f"rule = {rule!r}; give one of {', '.join(RULES)}")
    if rule == "die" and out is not None:
        raise InputError("rule 'die' makes one fit, and keeps no measures of several: leave out= out")
    if rule == "bic" and refit:
        raise InputError("rule 'bic' compares likelihoods of the same latents, those of one network: give refit=False")
    whole = rule != "bic" if refit is None else refit
    plan = seeds_from(estimator, 1 if rule == "die" else seeds, 1 if rule == "die" else 2)
    model = clone(estimator)
    latent = None
    if model.latent is None and model.reconstructs and takes_latent(model):
        latent = latent_of(clone(model).set_params(n_clusters=numbers[-1]))
        model.set_params(latent=latent)
    ds = to_dataset(model, x, model.scaling)
    _suits(model, ds, rule, whole, numbers[-1])
    if rule == "die":
        return _die(model, ds, numbers[-1], plan, whole, latent, progress)
    return _compared(model, ds, numbers, rule, plan, whole, latent, None if out is None else Path(out), progress)


def by_silhouette(rows: Sequence[Count]) -> int:
    """The rule ``silhouette``: the smallest of equals.

    >>> from nervure.cluster.counts import Count
    >>> rows = [Count(2, 0.6, 0, 1.0, 0, 0, 2), Count(3, 0.7, 0, 0.98, 0, 0.03, 3), Count(4, 0.8, 0, 0.5, 0, 0.1, 4)]
    >>> by_silhouette(rows)
    3
    """
    best = max(rows, key=lambda row: row.stability)
    near = [row for row in rows if best.stability - row.stability <= (best.error**2 + row.error**2) ** 0.5]
    return max(near, key=lambda row: (row.silhouette, -row.k)).k


def by_stability(rows: Sequence[Count]) -> int:
    """The rule ``stability``.

    >>> from nervure.cluster.counts import Count
    >>> rows = [Count(2, 0, 0, 0.9, 0, 0, 2), Count(3, 0, 0, 1.0, 0, 0, 3), Count(4, 0, 0, 0.91, 0, 0, 4)]
    >>> by_stability(rows), by_stability(rows[:2])
    (4, 3)
    """
    best = max(row.stability for row in rows)
    near = [row for row in rows if row.stability >= NEARLY * best or row.stability == best]
    return max(row.k for row in [row for row in near if row.weakest >= STABLE] or near)


def by_bic(rows: Sequence[Count]) -> int:
    """The rule ``bic``: the smallest of equals.

    >>> from nervure.cluster.counts import Count
    >>> by_bic([Count(2, 0, 0, 1, 0, 0, 2, bic=90.0), Count(3, 0, 0, 1, 0, 0, 3, bic=80.0)])
    3
    """
    return min((row.bic, row.k) for row in rows if row.bic is not None)[1]


def _numbers(counts: Iterable[int]) -> list[int]:
    given = list(counts)
    if any(isinstance(one, bool) or not isinstance(one, int | np.integer) or one < 2 for one in given) or not given:
        raise InputError(f"counts = {given}; give whole numbers of clusters from 2 up")
    return sorted({int(one) for one in given})


def _suits(model: DeepClusterer, ds: Dataset, rule: Rule, whole: bool, largest: int) -> None:
    """Refuse data that is too small, and a rule that the method has no means for."""
    from sklearn.base import clone

    from nervure.cluster.runs import method_of

    trial = clone(model).set_params(n_clusters=largest)
    if rule == "die" and whole and "empty" in trial.get_params():
        trial.set_params(empty="die")
    method = trial.prepared(ds)[1]
    if rule == "bic" and method.head not in ("mixture", "variational"):
        raise InputError(f"rule 'bic' needs a likelihood, and {method_of(model)!r} has none; take rule silhouette")
    dies = method.head in ("centres", "running", "mixture") and method.head_options.get("empty") == "die"
    if rule == "die" and whole and not dies:
        raise InputError(
            f"rule 'die': clusters of {method_of(model)!r} cannot die in training; give refit=False, and those of its "
            "latents do"
        )


def _compared(
    model: DeepClusterer,
    ds: Dataset,
    numbers: Sequence[int],
    rule: Rule,
    seeds: tuple[int, ...],
    whole: bool,
    latent: int | None,
    out: Path | None,
    progress: Progress | None,
) -> Choice:
    """All fits, and what a rule says of them."""
    from nervure.cluster.counts import Kept, Latents, about, fitted, summary

    held = {
        **about(model, ds),
        "refit": whole,
        "largest number": None if whole else numbers[-1],
        "first seed": None if whole else seeds[0],
    }
    kept = Kept(held, out)
    once: Latents | None = None

    def make(k: int, seed: int) -> Callable[[Path | None], Fit]:
        def fit(place: Path | None) -> Fit:
            nonlocal once
            if whole:
                return fitted(model, ds, k, seed, place)
            if once is None:
                once = Latents.of(model, ds, numbers[-1], seeds[0], kept.place("network"))
            return once.fit(k, seed)

        return fit

    rows, done = [], 0
    for k in numbers:
        fits = []
        for seed in seeds:
            fits.append(kept.get(k, seed, make(k, seed)))
            done += 1
            if progress is not None:
                progress(done, len(numbers) * len(seeds))
        rows.append(summary(k, fits))
    pick = {"silhouette": by_silhouette, "stability": by_stability, "bic": by_bic}[rule]
    how = "anew for each number and seed" if whole else Latents.trained(model, numbers[-1])
    return Choice(pick(rows), rule, tuple(rows), seeds, how, latent, _notes(rows))


def _die(
    model: DeepClusterer, ds: Dataset, largest: int, seeds: tuple[int, ...], whole: bool, latent: int | None,
    progress: Progress | None,
) -> Choice:  # fmt: skip
    """The rule ``die``: one fit."""
    from nervure.cluster.counts import Latents

    course: tuple[float, ...]
    if whole:
        made = model.set_params(n_clusters=largest, random_state=seeds[0], empty="die").fit_run(ds)
        k = int(made.net.head.alive.sum())
        how = f"once, with {largest} clusters that may die"
        course = tuple(float(row.get("clusters") or np.nan) for row in made.history)
    else:
        once = Latents.of(model, ds, largest, seeds[0])
        k, how = once.alive(largest, seeds[0]), once.how
        course = (float(k),)
    if progress is not None:
        progress(1, 1)
    notes = ("A single cluster is left: the data shows no more.",) if k == 1 else ()
    if k == largest:
        notes = (f"No cluster died; there may be more than {largest}.",)
    return Choice(k, "die", (), seeds, how, latent, notes, course)


def _notes(rows: Sequence[Count]) -> tuple[str, ...]:
    """What speaks against any number of these."""
    found = []
    if (height := max(row.silhouette for row in rows)) <= NO_STRUCTURE:
        found.append(f"No number shows clear clusters: the best silhouette is {height:.2f}.")
    if (same := max(row.stability for row in rows)) < STABLE:
        found.append(f"No number is found again over seeds: the best stability is {same:.2f}.")
    return tuple(found)
