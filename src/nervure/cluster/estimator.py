"""DeepClusterer: what all deep clustering estimators share, in scikit-learn's manner.

A method is a subclass whose fields are its parameters, and whose :meth:`DeepClusterer.method` says what to train; the
training itself is :func:`nervure.train.fit` with the callback ``cluster-phase``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import nn

from nervure.cluster.audition import audition, first_seed, staged
from nervure.cluster.check import check, check_links
from nervure.cluster.encode import encoded
from nervure.cluster.method import Method, warm_epochs, with_options
from nervure.cluster.net import ClusterNet
from nervure.cluster.parameters import typed
from nervure.cluster.restore import restored
from nervure.cluster.runs import action_of, begun, method_of, own_function
from nervure.cluster.samples import check_padding, known_labels, new_data, to_dataset
from nervure.cluster.supersede import Superseding
from nervure.data.dataset import Dataset, hash_arrays
from nervure.data.links import Given
from nervure.errors import InputError
from nervure.objectives import make as make_objective
from nervure.objectives.call import takes_mask
from nervure.store import Run
from nervure.store.folder import claim
from nervure.train import Recipe, fit
from nervure.train.loop import Progress
from nervure.train.recipe import CallbackSpec

__all__ = ["DeepClusterer"]

WARM_STEPS = 400
"""Steps of reconstruction alone that a warm-up asks for where neither user nor profile says how long it is."""


@dataclass(eq=False, repr=False)
class DeepClusterer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """The base of deep clustering estimators.

    Parameters
    ----------
    n_clusters : int
        Number of clusters.
    network : str or Module, optional
        An auto-encoder, by name, as ``package.module:function`` of one's own, or as a module that is copied; chosen by
        the data if not given. A function is called as f(in_shape, n_clusters), with ``latent`` and ``output``
        (``sigmoid`` or ``linear``) if it takes them.
    network_options : dict, optional
        Settings of a named network.
    latent : int, optional
        Size of a latent, of methods with an auto-encoder; by the profile if not given: the number of clusters, or twice
        as many.
    profile : str
        Which defaults stand for what is not given: ``paper`` (the publication's, with a sigmoid behind samples between
        0 and 1), ``robust`` (ours) or ``quick`` (fewer epochs, still of all samples).
    epochs, batch_size, lr, weight_decay : optional
        As in :class:`nervure.train.Recipe`.
    augment : dict, optional
        Options of :class:`nervure.data.Augmentation`: samples are changed at random, and so is what they are
        reconstructed to; clusters are of the unchanged ones.
    restore : dict, optional
        Options of :class:`nervure.data.Augmentation`: samples are changed at random and reconstructed to what they
        were, so that latents forget such changes; {} never does it. By default as the profile says, for pictures of
        16 pixels and more, and not where ``augment`` is given.
    distance : str
        Between a sample and its reconstruction: ``squared``; for series also ``soft-dtw`` and ``soft-dtw-divergence``,
        which forgive shifts in time.
    scaling : str or bool, optional
        How samples become network input, as ``standardize`` of :func:`nervure.data.from_arrays`: by default images
        are brought to 0 to 1 each, series and tables to mean 0 and standard deviation 1.
    label_weight, link_weight : float
        Weights of the labels and the links given to :meth:`fit`.
    patience : int
        Training ends when hardly a sample changes its cluster for so many epochs; 0 never ends it early.
    snapshots : sequence of int
        Epochs whose latents are kept for figures.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    recipe : dict, optional
        Fields of the recipe that have no parameter here, such as ``{"optimizer": "sgd", "clip": 5.0}``; options of
        the objective and callbacks are added to the method's own.
    n_init : int, optional
        Seeds that train through the warm-up and half of what follows; the one with the lowest loss is then trained from
        its start.
    random_state : int, RandomState or None
        Decides everything random.

    Attributes
    ----------
    labels_ : array (n,)
        The cluster of each sample of the fit.
    run_ : Run
        The network, its history and evidence; ``nervure.store.save`` keeps it.
    """

    n_clusters: int = 10
    _: KW_ONLY
    network: str | nn.Module | None = None
    network_options: Mapping[str, Any] | None = None
    latent: int | None = None
    profile: str = "robust"
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    weight_decay: float | None = None
    augment: Mapping[str, object] | None = None
    restore: Mapping[str, object] | None = None
    distance: str = "squared"
    scaling: str | bool | None = None
    label_weight: float = 1.0
    link_weight: float = 1.0
    patience: int = 5
    snapshots: Sequence[int] = ()
    device: str = "auto"
    recipe: Mapping[str, Any] | None = None
    n_init: int | None = None
    random_state: Any = None

    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    reconstructs: ClassVar[bool] = True

    def method(self, ds: Dataset, seed: int, outputs: int) -> Method:
        """What to train on this data; ``outputs`` labels supervise, 0 for none."""
        raise NotImplementedError

    def fit(
        self,
        x: Any,
        y: object = None,
        *,
        labels: ArrayLike | None = None,
        links: Given | None = None,
    ) -> Self:
        """Cluster samples.

        Parameters
        ----------
        x : array or Dataset
            Two axes are a table, (n, features). Three are grey images, (n, height, width), if the numbers are unsigned
            bytes or height and width are equal; otherwise series, (n, channels, time), whose ends may be NaN. Four
            are images, with channels last if that axis is 1, 3 or 4 long and the second is not, and first otherwise.
            A list of series, (channels, time) or (time,) each, may hold unequal lengths. Where samples are something
            else, give ``nervure.data.from_arrays(x, layout=...)``. Of a Dataset the training split is learnt from, as
            its own preprocessing has it: ``scaling`` is for arrays.
        y : ignored
            As in scikit-learn.
        labels : array (n,), optional
            What is known of the samples' classes, -1 where nothing is: they supervise. Those that occur are numbered
            from 0 in their order; where a method has a cluster for each label, cluster i is the i-th of them.
        links : optional
            Pairs of samples, by position: ``{"must": pairs, "cannot": pairs}`` belong together, or do not.
        """
        self.fit_run(x, labels=labels, links=links)
        return self

    def fit_run(
        self,
        x: Any,
        *,
        labels: ArrayLike | None = None,
        links: Given | None = None,
        out: Path | str | None = None,
        resume: bool = False,
        overwrite: bool = False,
        command: str = "",
        progress: Callable[[Progress], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Run:
        """Cluster samples and give the run, kept in ``out``; the arguments are those of :func:`nervure.train.fit`."""
        self.__dict__.pop("feature_names_in_", None)  # of an earlier fit
        ds = to_dataset(self, x, self.scaling)
        ds, method = self.prepared(ds, labels, links)
        if resume and out is not None and not isinstance(self.random_state, int | np.integer):
            begun_with = first_seed(out, int(self._given("n_init") or 1))
            method = method if begun_with is None else with_options(method, {}, seed=begun_with)
        run = self.trained(
            method,
            ds,
            out=out,
            resume=resume,
            overwrite=overwrite,
            command=command,
            progress=progress,
            stop=stop,
        )
        columns = vars(self)["n_features_in_"]  # of what was given
        self.adopt(run)
        self.n_features_in_ = columns
        self.labels_ = self.predict(ds)
        return run

    def prepared(
        self,
        ds: Dataset,
        labels: ArrayLike | None = None,
        links: Given | None = None,
    ) -> tuple[Dataset, Method]:
        """The data as it is trained on, and the method for it; parameters are checked here."""
        own = typed(self)
        check(own, ds)
        if ds.task != "classification":
            ds = dataclasses.replace(ds, y=None, task="none", names=())
        known = known_labels(labels, len(ds), getattr(own, "parents", ()), train=ds.indices("train"))
        outputs = 0 if known is None or own.label_weight == 0 else int(known.max()) + 1
        if own.latent is not None and not own.reconstructs:
            raise InputError(f"latent: {method_of(self)} has no auto-encoder; its latents are what its network ends in")
        method = dataclasses.replace(own.method(ds, own._seed(), outputs), labels=known)
        if outputs > own.n_clusters and not method.label_outputs:
            raise InputError(
                f"labels: {outputs} of them for n_clusters={own.n_clusters}; {method_of(self)} has a cluster for each "
                "label: give as many clusters, or take dcae-kmeans or dcae-gmm"
            )
        if method.label_outputs == 1:
            raise InputError(
                f"labels: all known ones of training samples are the same, and {method_of(self)} learns to tell labels "
                "apart; give at least two, or none"
            )
        if known is not None:
            told = f"{int((known >= 0).sum())} of {len(known)}, {hash_arrays(known)[:12]}"
            method = with_options(method, {"labels": told})
        if own.distance != "squared":
            if method.recipe.objective_options.get("reconstruction") == 0:
                raise InputError(f"distance: {method_of(self)} reconstructs nothing")
            method = with_options(method, {"distance": own.distance})
        if changes := restored(own, ds, method):
            method = with_options(method, {"restore": True}, copies=dict(changes))
        if links is not None:
            if warm_epochs(method.recipe) >= method.recipe.epochs:
                raise InputError(f"links: {method_of(self)} trains without clusters; take dcae-kmeans or idec")
            pairs = check_links(links, ds, own.n_clusters)
            options = {"must": pairs.must.tolist(), "cannot": pairs.cannot.tolist(), "link_weight": own.link_weight}
            method = with_options(method, options)
        return ds, method

    def trained(
        self,
        method: Method,
        ds: Dataset,
        *,
        out: Path | str | None = None,
        resume: bool = False,
        overwrite: bool = False,
        command: str = "",
        progress: Callable[[Progress], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Run:
        """Train a method's clusterer on prepared data, with the best of ``n_init`` seeds where several are tried."""

        def train(method: Method, out: Path | None, stage: str = "", replace: bool = overwrite) -> Run:
            recipe, objective = method.recipe, None
            if method.labels is not None:
                options = {**recipe.objective_options, "labels": torch.from_numpy(method.labels)}
                objective = make_objective(recipe.objective, options)
            start = begun(self, method, ds)
            assert isinstance(start.net, ClusterNet)
            check_padding(ds, takes_mask(start.net.encoder))
            with old.by(out, None if progress is None else staged(progress, stage)) as told:
                return fit(
                    start,
                    ds,
                    recipe,
                    objective=objective,
                    out=out,
                    resume=resume,
                    overwrite=replace,
                    device=self.device,
                    build=own_function(self),
                    command=command,
                    progress=told,
                    stop=stop,
                )

        folder = None if out is None else claim(out, resume=resume, overwrite=overwrite)
        old = Superseding(folder if overwrite and not resume else None)
        count = int(self._given("n_init") or 1)
        if count > 1:
            method = audition(method, count, train, out=folder, resume=resume)
        return train(method, folder, replace=overwrite or count > 1)

    def adopt(self, run: Run) -> Self:
        """Take a finished run as one's own, such as one that was loaded."""
        if not isinstance(run.net, ClusterNet):
            raise InputError("this run holds no clusterer")
        self.run_ = run
        self.net_ = run.net
        self.any_length_ = takes_mask(run.net.encoder)
        self.n_iter_ = len(run.history)
        for name in ("labels_", "feature_names_in_"):  # of an earlier fit
            self.__dict__.pop(name, None)
        self.n_features_in_ = run.in_shape[0]
        if (action := action_of(run)) is not None and "feature_names" in action.settings:
            self.feature_names_in_ = np.array(action.settings["feature_names"], dtype=object)
        prototypes = run.net.head.prototypes()
        if prototypes is not None:
            self.cluster_centers_ = prototypes.detach().to(torch.float64).numpy()
        return self

    @property
    def _n_features_out(self) -> int:
        """Columns of what :meth:`transform` gives, which scikit-learn names after the class."""
        return self.net_.head.latent

    def predict(self, x: Any) -> NDArray[np.int64]:
        """The cluster of each sample: (n,)."""
        return np.asarray(self._outputs(x).argmax(axis=1), dtype=np.int64)

    def predict_proba(self, x: Any) -> NDArray[np.float64]:
        """The probability of each cluster for each sample: (n, n_clusters)."""
        return np.asarray(softmax(self._outputs(x), axis=1))

    def transform(self, x: Any) -> NDArray[np.float32]:
        """Latents (n, latent)."""
        check_is_fitted(self, "run_")
        ds = new_data(self, x)
        return np.concatenate([latents.numpy() for _, latents in encoded(self.net_, ds)])

    def score(self, x: Any, y: object = None) -> float:
        """Minus what training minimises, labels and copies aside: higher is better.

        It is the mean over batches of at most 256 samples in their order, and some terms are no mean over samples
        (activity, mutual information, densities normalised over a batch). So compare scores of the same samples alone.
        """
        check_is_fitted(self, "run_")
        ds = new_data(self, x)
        if self.net_.decoder is not None and ds.in_shape != tuple(self.run_.in_shape):
            raise InputError(
                f"series of {ds.in_shape[-1]} steps, and the decoder gives back {self.run_.in_shape[-1]}: "
                "let shorter ones end in NaN, and cut longer ones"
            )
        recipe = Recipe.of(next(one for one in reversed(self.run_.lineage) if one.name == "train").settings)
        supervision = ("label_weight", "labels")
        options = {key: value for key, value in recipe.objective_options.items() if key not in supervision}
        objective = make_objective(recipe.objective, options)
        total = 0.0
        with torch.no_grad():
            for start in range(0, len(ds), 256):
                batch = ds.batch(np.arange(start, min(start + 256, len(ds))))
                total += float(objective(self.net_, batch)[0]) * len(batch.x)
        return -total / len(ds)

    def _outputs(self, x: Any) -> NDArray[np.float64]:
        check_is_fitted(self, "run_")
        ds = new_data(self, x)
        self.net_.eval()
        with torch.no_grad():
            rows = [self.net_.head(latents).numpy() for _, latents in encoded(self.net_, ds)]
        return np.concatenate(rows).astype(np.float64)

    def _seed(self) -> int:
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _given(self, name: str) -> Any:
        """A parameter, or what the profile says for it."""
        value = getattr(self, name)
        return self._profile(name) if value is None else value

    def _profile(self, name: str) -> Any:
        """What the profile says, for what is no parameter too."""
        return self.profiles[self.profile].get(name)

    def _warm(self, ds: Dataset, share: float = 1 / 3) -> int:
        """Epochs of warm-up: as asked, or the profile's share of all; else those of 400 steps, at most ``share``."""
        given, own, epochs = getattr(self, "warmup", None), self._profile("warmup"), int(self._given("epochs"))
        if given is not None:
            return int(given)
        if own is not None:
            return int(min(max(1, round(own * epochs / self._profile("epochs"))), epochs - 1))
        steps = -(-len(ds.indices("train")) // int(self._given("batch_size")))
        return max(1, min(round(WARM_STEPS / steps), int(epochs * share)))

    def _recipe(self, seed: int, objective: Mapping[str, object], phase: Mapping[str, object], **more: Any) -> Recipe:
        """The recipe that all methods share: their objective's and phase's options, and what differs."""
        values: dict[str, Any] = {
            "epochs": self._given("epochs"), "batch": self._given("batch_size"), "lr": self._given("lr"),
            "weight_decay": self._given("weight_decay") or 0.0, "keep": "last", "seed": seed, "augment": self.augment,
            "objective": "clustering",
        }  # fmt: skip
        own = dict(self.recipe or {})
        options = {**objective, **own.pop("objective_options", {})}
        whole = {"patience": self.patience, "snapshots": list(self.snapshots), **phase}
        first = CallbackSpec(name="cluster-phase", options=whole)
        callbacks = [first, *more.pop("callbacks", ()), *own.pop("callbacks", ())]
        return Recipe(**{**values, **more, **own, "objective_options": options, "callbacks": callbacks})

    def __sklearn_tags__(self) -> Tags:
        tags: Tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = []
        return tags
