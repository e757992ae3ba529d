"""Study: a published table or a comparison as data, read from ``tables/*.toml`` or one's own file."""

from __future__ import annotations

import functools
import json
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from nervure.errors import InputError, first_wrong
from nervure.registry import nearest
from nervure.study.braces import spelled_out
from nervure.study.merge import merged
from nervure.study.sweeps import Sweep, plain, sweeps

__all__ = ["Data", "Profile", "Publication", "Published", "Study", "load", "names", "parse"]

ProfileName = Literal["smoke", "cpu", "gpu", "published"]


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _storable(settings: dict[str, object]) -> dict[str, object]:
    """Refuse what the record of a trial could not hold, such as a date, or a number that is none."""
    try:
        json.dumps(settings, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{error}; give words, finite numbers, lists or tables") from None
    return settings


Settings = Annotated[dict[str, object], AfterValidator(_storable)]


class Data(_Data):
    """What a study is about: a source of :func:`nervure.data.load`, its options, and where to get it.

    ``get`` is of one's own studies; that of sources of our tables is in :data:`nervure.study.where.GET`.
    """

    source: str
    options: Settings = Field(default_factory=dict)
    get: str = ""


class Profile(_Data):
    """One size of a study: settings that win over the study's own, those of single methods, and how many seeds."""

    what: str
    seeds: int | None = Field(None, ge=1)
    settings: Settings = Field(default_factory=dict)
    methods: dict[str, Settings] = Field(default_factory=dict)


class Published(_Data):
    """A figure as it was printed, in the unit of its measure, with where it stands."""

    arm: str = "base"
    measure: str
    value: float
    work: str
    place: str


Finite = Annotated[float, Field(allow_inf_nan=False)]


class Publication(_Data):
    """Figures as they were printed at one place of one work.

    ``values`` are by arm and measure; of measures that differ in a number they are a list, as a printed line is.

    >>> printed = Publication(work="A. Person", place="Table 1", values={"base": {"before layer {2..3}": (90.5, 81.0)}})
    >>> [(one.arm, one.measure, one.value) for one in printed.each()]
    [('base', 'before layer 2', 90.5), ('base', 'before layer 3', 81.0)]
    """

    work: str
    place: str
    values: dict[str, dict[str, Finite | tuple[Finite, ...]]] = Field(min_length=1)

    def each(self) -> Iterator[Published]:
        """One after the other."""
        for arm, printed in self.values.items():
            for name, given in printed.items():
                measures, values = spelled_out(name), given if isinstance(given, tuple) else (given,)
                if len(measures) != len(values):
                    raise ValueError(
                        f"{arm}.{name!r} stands for {len(measures)} measures, and has {len(values)} values"
                    )
                for measure, value in zip(measures, values, strict=True):
                    yield Published(arm=arm, measure=measure, value=value, work=self.work, place=self.place)


def _spelled_out(measures: object) -> object:
    if not isinstance(measures, Mapping):
        return measures
    return {name: unit for key, unit in measures.items() for name in spelled_out(str(key))}


def _one_arm() -> dict[str, dict[str, object]]:
    return {"base": {}}


class Study(_Data):
    """Trials side by side: arms by seeds, each a call of one function with JSON settings.

    Parameters
    ----------
    name, what : str
        The file's stem, and one line.
    data : Data
        What every trial works on.
    trial : str
        A name of the table ``nervure.study.trials``.
    settings : dict
        What every trial is given.
    arms : dict of dict
        Further settings by arm, which win over ``settings``; without any there is the one arm ``base``.
    methods : dict of dict
        Settings of the arms whose setting ``method`` is so called; they win over ``settings``, an arm's own over them.
    profiles : dict of Profile
        ``smoke``, ``cpu``, ``gpu``, ``published``; their settings win over all of these, their ``methods`` over those.
    seeds : int
        Trials of each arm, with seeds 0, 1, ...
    measures : dict of str to str
        Which measures are tabulated, and their unit; ``"%"`` shows a share times 100. In a file, braces stand for many:
        ``"{l1,votes} layer {2..13}"``.
    curves : dict of str to str
        Series that are drawn alone, and their unit: all measures called ``NAME NUMBER`` that trials gave, such as
        accuracy by cycle, whose number nobody knows before.
    published : sequence of Publication
        Printed figures by place; empty if there are none, and then ``unpublished`` says so.
    controls : sequence of str
        What the others are held against, seed by seed: arms, the last word of arms, or criteria of a study of one arm.
    axis : str, or dict of str to str
        What the numbers at the end of measures are, such as the 0.5 of ``accuracy 0.5``; where measures differ, by the
        word before the number. See :attr:`sweeps`.
    notes : dict of str to str
        What a reader of the tables must know of an arm, or of a criterion that measures name: that a figure is a mean
        of several draws, or that an arm was trained for longer than others. Printed under the tables.
    by_layer : bool
        Whether a measure called ``NAME layer NUMBER keep NUMBER`` belongs to a line of its layer among those of the
        others, not to one of ``NAME`` in a figure of its layer.

    Examples
    --------
    >>> study = load("digits-lenet5")
    >>> list(study.arms), study.profiles["smoke"].seeds, study.published
    (['base'], 2, ())
    >>> study.trial_settings("base", "smoke")["recipe"]["epochs"]
    2
    """

    name: str
    what: str
    data: Data
    trial: str = "train"
    settings: Settings = Field(default_factory=dict)
    arms: dict[str, Settings] = Field(default_factory=_one_arm, min_length=1)
    methods: dict[str, Settings] = Field(default_factory=dict)
    profiles: dict[ProfileName, Profile] = Field(min_length=1)
    seeds: int = Field(3, ge=1)
    measures: Annotated[dict[str, Literal["", "%"]], BeforeValidator(_spelled_out), Field(min_length=1)]
    curves: dict[str, Literal["", "%"]] = Field(default_factory=dict)
    published: tuple[Publication, ...] = ()
    unpublished: str = ""
    controls: tuple[str, ...] = ()
    axis: str | dict[str, str] = ""
    notes: dict[str, Annotated[str, Field(min_length=1)]] = Field(default_factory=dict)
    by_layer: bool = False

    @model_validator(mode="after")
    def _agree(self) -> Study:
        for one in self.figures:
            if one.arm not in self.arms:
                raise ValueError(f"published, {one.place}: there is no arm {one.arm!r}")
            if one.measure not in self.measures:
                raise ValueError(f"published, {one.place}: {one.measure!r} is not among the measures")
        times = Counter((one.place, one.work, one.arm, one.measure) for one in self.figures)
        for (printed, _, arm, measure), count in times.items():
            if count > 1:
                raise ValueError(f"published, {printed}: {arm}.{measure!r} is there {count} times; give one figure")
        used = tuple(dict.fromkeys(method for arm in self.arms if (method := self._method(arm))))
        told = {"methods": self.methods} | {
            f"profiles.{name}.methods": one.methods for name, one in self.profiles.items()
        }
        for where, methods in told.items():
            if strange := sorted(set(methods) - set(used)):
                hint = nearest(strange[0], used) if used else "give arms a setting 'method'"
                raise ValueError(f"{where}: no arm has the method {strange[0]!r}; {hint}")
        if not self.published and not self.unpublished:
            raise ValueError("published: give printed figures, or say in 'unpublished' why there are none")
        columns = {*self.arms, *(column for sweep in self.sweeps for column in sweep.columns)}
        known = {name for column in columns for name in (column, column.rpartition(" ")[2])}
        for place, control in enumerate(self.controls):
            if control not in known:
                raise ValueError(f"controls.{place}: unknown {control!r}; {nearest(control, tuple(sorted(known)))}")
        named = {*self.arms, *(word for measure in self.measures for word in measure.split())}
        if strange := sorted(set(self.notes) - named):
            hint = nearest(strange[0], tuple(sorted(named)))
            raise ValueError(f"notes: no arm and no measure names {strange[0]!r}; {hint}")
        return self

    @functools.cached_property
    def figures(self) -> tuple[Published, ...]:
        """Every figure that was printed."""
        return tuple(one for place in self.published for one in place.each())

    @property
    def sweeps(self) -> tuple[Sweep, ...]:
        """Measures that differ in one number at their end, each a table and a curve."""
        return sweeps(tuple(self.arms), self.measures, self.by_layer)

    @property
    def plain(self) -> tuple[Sweep, ...]:
        """Measures that are in no sweep."""
        return plain(tuple(self.arms), self.measures, self.by_layer)

    def unit(self, measure: str) -> str:
        """The unit of a measure, or of the curve that it is a point of."""
        return self.measures.get(measure) or self.curves.get(measure.rpartition(" ")[0], "")

    def profile(self, name: str) -> Profile:
        """A profile by name; a missed name answers with the list."""
        if name not in self.profiles:
            raise InputError(f"{self.name}: unknown profile {name!r}; {nearest(name, tuple(self.profiles))}")
        return self.profiles[name]

    def trial_settings(self, arm: str, profile: str) -> dict[str, object]:
        """What a trial of ``arm`` is given: the study's settings, its method's, its own, and the profile's on top."""
        method, size = self._method(arm), self.profile(profile)
        return merged(
            self.settings, self.methods.get(method, {}), self.arms[arm], size.settings, size.methods.get(method, {})
        )

    def _method(self, arm: str) -> str:
        return str(self.arms[arm].get("method", self.settings.get("method", "")))


def names() -> tuple[str, ...]:
    """Every study that comes with the package.

    >>> "digits-lenet5" in names()
    True
    """
    files = resources.files("nervure.study").joinpath("tables").iterdir()
    return tuple(sorted(one.name.removesuffix(".toml") for one in files if one.name.endswith(".toml")))


def load(name: str | Path) -> Study:
    """A study by name, or from a path that ends in ``.toml``.

    >>> load("digits-lenet")
    Traceback (most recent call last):
    nervure.errors.InputError: unknown study 'digits-lenet'; did you mean 'digits-lenet5'? There are: ...
    """
    path = Path(name)
    if path.suffix == ".toml":
        try:
            return parse(path.read_text(encoding="utf-8"), path.stem, str(path))
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from error
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: not a text file in UTF-8 ({error.reason})") from error
    if str(name) not in names():
        raise InputError(f"unknown study {str(name)!r}; {nearest(str(name), names())}")
    file = resources.files("nervure.study").joinpath("tables", f"{name}.toml")
    return parse(file.read_text(encoding="utf-8"), str(name), f"{name}.toml")


def parse(text: str, name: str, where: str) -> Study:
    """A study from the text of its file; an error names the file, the field and what is wrong.

    >>> parse('what = 3', "mine", "mine.toml")
    Traceback (most recent call last):
    nervure.errors.InputError: mine.toml: what: Input should be a valid string
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{where}: not TOML ({error})") from error
    if "name" in values:
        raise InputError(f"{where}: name: a study is called as its file; leave the field out")
    try:
        return Study.model_validate({**values, "name": name})
    except ValidationError as error:
        raise InputError(f"{where}: {first_wrong(error)}") from error
