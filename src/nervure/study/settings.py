"""Settings of trials, read from JSON: what trials of several kinds are told."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nervure.errors import InputError, first_wrong

__all__ = ["FromBase", "FromRun", "Kind", "OfLayers", "TrainSettings", "TrialSettings"]

Kind = Literal["conv", "dense", "all"]


class TrialSettings(BaseModel):
    """Settings of a trial, read from JSON; an error names the trial and the field.

    >>> class Mine(TrialSettings):
    ...     trial = "mine"
    ...     keep: float = 0.5
    >>> Mine.read({"keep": "much"})
    Traceback (most recent call last):
    nervure.errors.InputError: trial 'mine': keep: Input should be a valid number, unable to parse string as a number
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    trial: ClassVar[str] = ""

    @classmethod
    def read(cls, settings: dict[str, object]) -> Self:
        """From JSON settings."""
        try:
            return cls.model_validate(settings)
        except ValidationError as error:
            raise InputError(f"trial {cls.trial!r}: {first_wrong(error)}") from error


class TrainSettings(TrialSettings):
    """What the trial ``train`` is told: a network, a recipe, and how many training samples (or all).

    >>> TrainSettings(net="lenet5", recipe={"epochs": 2}).train_samples is None
    True
    """

    trial: ClassVar[str] = "train"

    net: str
    net_options: dict[str, Any] = Field(default_factory=dict)
    recipe: dict[str, Any] = Field(default_factory=dict)
    train_samples: int | None = Field(None, ge=1)


class FromBase(TrialSettings):
    """Of a trial that starts from a trained network: the run that holds it, or the settings to train one.

    Parameters
    ----------
    run, base : str, dict, optional
        The run's folder, or the settings of the trial ``train``: one of them.

    Examples
    --------
    >>> FromBase.read({"base": {"net": "lenet5"}}).run is None
    True
    """

    run: str | None = None
    base: dict[str, object] | None = None


class FromRun(FromBase):
    """The same, where a run may be one that was given in memory, or of the user's own network.

    Parameters
    ----------
    build : str, optional
        The ``package.module:function`` that made the run's network, if it was the user's own.
    weights, fingerprint : str
        Digests of the run's weights and of its data, where the trial is of just these.

    Examples
    --------
    >>> FromRun.read({"run": "runs/mine", "build": "mine:make"}).weights
    ''
    """

    build: str | None = None
    weights: str = ""
    fingerprint: str = ""


class OfLayers(TrialSettings):
    """Of a trial of some layers: which, as :func:`nervure.study.asked.numbered` numbers them.

    >>> OfLayers(kind="dense").first
    1
    """

    kind: Kind = "conv"
    first: int = Field(1, ge=1)
    count: int | None = Field(None, ge=1)
