"""``Job``: everything that is to be done, as one value."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np

from redetail.documents import shown
from redetail.engines.memory import Memory
from redetail.engines.spec import ModelSpec, WeightedFile, as_spec
from redetail.errors import InputError, SettingsError, UnknownNameError
from redetail.files import check_given
from redetail.geometry.scale import Scale
from redetail.job import reading, writing
from redetail.job.requested import RequestedSettings, Subject
from redetail.job.writing import BACKGROUNDS, COMPARE_LAYOUTS
from redetail.region import Size
from redetail.selection import DEFAULT, FILTERS, Filter, Selection, filters_from_options, kinds, selections_from_options
from redetail.selection.filters import laid_over
from redetail.settings import Settings
from redetail.video import EncodeOptions, FrameSource, array_source, open_source
from redetail.video.span import Span

V = TypeVar("V", ModelSpec, Memory, EncodeOptions, Span)
_PATHS = ("output", "compare", "report", "save_hints")


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is to be detailed, where, how, and what is written.

    ``source``: a file, a folder of images, or an object that is read like one (an array of frames becomes such an
    object); ``selection``: which subjects are searched for; ``filters``: which of those are detailed; ``span``: the
    part of the clip. ``model``, ``device`` and ``memory`` say what is loaded and how it uses the machine (None: the
    bundled model, and whatever suits the machine). ``settings``: the settings that were requested, including a preset;
    ``subjects``: what differs for individual subjects.

    ``output``, ``compare``, ``report`` and ``save_hints`` name what is written. ``encode``: how the output is encoded;
    ``compare_layout``: what the comparison looks like; ``scale``: how much larger the output is than the source
    (:meth:`redetail.geometry.scale.Scale.of` reads a number); ``background``: what enlarges everything but the
    subjects, "lanczos" or "model". ``strict``: a damaged source is refused. ``config``: the command line may take what
    the job leaves out from a config file (see :mod:`redetail.job.config`); ``config_file``: the name of that file, for
    the report.

    Two jobs are equal if they ask for the same; arrays and other objects in memory are equal only to themselves.
    :meth:`overlay` makes one job from another, :meth:`to_document` and :meth:`from_document` write and read a job.

    Raises :class:`~redetail.errors.RedetailError` for values that cannot be used. Settings are checked only by
    :meth:`check`, since they may be overridden first.
    """

    source: Path | FrameSource | None = None
    output: Path | None = None
    selection: tuple[Selection, ...] = DEFAULT
    filters: tuple[Filter[Any], ...] = ()
    span: Span = Span()
    model: ModelSpec | None = None
    device: str | None = None
    memory: Memory | None = None
    settings: Mapping[str, Any] = field(default_factory=RequestedSettings)
    subjects: tuple[Subject, ...] = ()
    compare: Path | None = None
    compare_layout: str = COMPARE_LAYOUTS[0]
    report: Path | None = None
    save_hints: Path | None = None
    encode: EncodeOptions | None = None
    scale: Scale = Scale()
    background: str = BACKGROUNDS[0]
    strict: bool = False
    config: bool = True
    config_file: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", _source(self.source))
        for name in _PATHS:
            object.__setattr__(self, name, _path(name, getattr(self, name)))
        object.__setattr__(self, "model", None if self.model is None else as_spec(self.model))
        object.__setattr__(self, "scale", Scale.of(self.scale))
        if self.compare_layout not in COMPARE_LAYOUTS:
            raise UnknownNameError("comparison layout", self.compare_layout, COMPARE_LAYOUTS)
        if self.background not in BACKGROUNDS:
            raise UnknownNameError("background", self.background, BACKGROUNDS)
        _check_kind("settings", self.settings, Mapping, "a dict")
        object.__setattr__(self, "settings", RequestedSettings(self.settings))
        for name, kind in _SEVERAL.items():
            object.__setattr__(self, name, _several(name, getattr(self, name), *kind))
        for name, kind in _KINDS.items():
            _check_kind(name, getattr(self, name), *kind)

    def overlay(self, **options: Any) -> Self:
        """A new job in which options override the values of this one; they are the keyword arguments of
        :func:`redetail.detail`, and None changes nothing.

        A mapping for ``model``, ``memory`` or ``encode`` replaces single fields. Options that select subjects replace
        the job's selection, and a filter replaces the job's filter of that name. Settings replace those of the job and
        of its subjects.
        """
        given = {name: value for name, value in options.items() if value is not None}
        selected = {name: given.pop(name) for name in kinds() if name in given}
        typed = filters_from_options({name: given.pop(name) for name in FILTERS if name in given})
        span = {name: given.pop(name) for name in ("start", "end") if name in given}
        changes: dict[str, Any] = {name: given.pop(name) for name in (*_PLAIN, *_PATHS) if name in given}
        for name, usual in _TABLES.items():
            if name in given:
                changes[name] = _laid_over(getattr(self, name) or usual, given.pop(name))
        changes.setdefault("subjects", tuple(subject.under(given) for subject in self.subjects))
        return replace(
            self,
            **changes,
            selection=selections_from_options(selected) or self.selection,
            filters=laid_over(self.filters, typed),
            span=_laid_over(self.span, span),
            settings=RequestedSettings(self.settings).overlay(given),
        )

    def check(self) -> None:
        """Refuse settings that no engine has, and files that do not exist, before a model is loaded.

        Raises :class:`~redetail.errors.SettingsError` and :class:`~redetail.errors.InputError`.
        """
        RequestedSettings(self.settings).check()
        for subject in self.subjects:
            subject.check()
        for path in self.files:
            check_given(path)

    def output_size(self, source: Size) -> Size:
        """The size of the output for frames of size ``source``.

        Raises :class:`~redetail.errors.SettingsError` for a scale that does not suit the frames, and if the model is to
        enlarge the background although nothing is enlarged.
        """
        size = self.scale.size(source)
        if self.background == "model" and size == source:
            raise SettingsError(
                f"background is model, but the output is as large as the source ({source} pixels); set a scale, such "
                "as 2, or leave out the background setting."
            )
        return size

    def open_source(self, keep: int = 0) -> FrameSource:
        """The frames; for ``keep``, see :func:`redetail.video.open_source`. Raises :class:`~redetail.errors.InputError`
        if they cannot be read."""
        if self.source is None:
            raise SettingsError(
                "The job does not name a source; give a video file, a folder of images or an array of frames."
            )
        if isinstance(self.source, Path):
            return open_source(self.source, strict=self.strict, keep=keep)
        return self.source

    @property
    def memory_limit(self) -> int | None:
        """Bytes of main memory that the run may take (None: most of what is free)."""
        return None if self.memory is None else self.memory.limit

    @property
    def files(self) -> tuple[Path, ...]:
        """Files and folders that are read in addition to the source, including names on the hub."""
        several: tuple[Selection | Filter[Any] | Subject, ...] = (*self.selection, *self.filters, *self.subjects)
        selected = (path for one in several for path in one.files)
        settings = (RequestedSettings(self.settings), *(subject.settings for subject in self.subjects))
        loras = (WeightedFile.parse(str(text)).path for one in settings for text in one.get("loras") or ())
        return (*selected, *as_spec(self.model).files, *loras)

    @property
    def unnamed(self) -> tuple[str, ...]:
        """What is an object in memory that a document cannot name: "source", "mask" ..."""
        source = () if isinstance(self.source, Path) or self.source is None else ("source",)
        return (*source, *(one.name for one in self.selection if one.to_document() is None))

    def as_run(self, settings: Settings) -> Self:
        """The job that repeats this run: ``settings`` are those that the requested settings resolved to.

        It has no outputs but the main one, since another run would find the others already there. A config file does
        not change it.
        """
        return replace(
            self,
            settings=settings.as_dict(),
            compare=None,
            compare_layout=COMPARE_LAYOUTS[0],
            report=None,
            save_hints=None,
            config=False,
        )

    def to_document(self) -> dict[str, Any]:
        """The job, ready for JSON and TOML, with absolute paths of files (see docs/jobs.md).

        Raises :class:`~redetail.errors.SettingsError` if something is :attr:`unnamed`.
        """
        if self.unnamed:
            raise SettingsError(
                f"The job cannot be written: its {self.unnamed[0]} is an object in memory; use a file instead, and "
                "give its name."
            )
        return writing.document(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any], folder: Path, base: Self | None = None) -> Self:
        """The job that a document holds; file names are relative to ``folder``. What it leaves out is taken from
        ``base``.

        Raises :class:`~redetail.errors.RedetailError` for a key that does not exist or a value of the wrong kind.
        """
        under = cls() if base is None else base
        return replace(under, **reading.fields_of(document, folder, under))


_PLAIN = ("source", "device", "subjects", "scale", "background", "strict", "compare_layout")
_TABLES: Mapping[str, Any] = {"model": ModelSpec(), "memory": Memory(), "encode": EncodeOptions()}
_SEVERAL: Mapping[str, tuple[type, str]] = {
    "selection": (Selection, "a selection"),
    "filters": (Filter, "a filter"),
    "subjects": (Subject, "a redetail.Subject"),
}
_KINDS: Mapping[str, tuple[type, str]] = {
    "span": (Span, "a Span"),
    "strict": (bool, "True or False"),
    "config": (bool, "True or False"),
    "device": (str, "a name such as 'cpu' or 'cuda'"),
    "memory": (Memory, "a redetail.Memory"),
    "encode": (EncodeOptions, "a redetail.EncodeOptions"),
}


def _laid_over(base: V, given: Any) -> V:
    """``base`` with the fields that a mapping names replaced; anything but a mapping replaces ``base`` completely."""
    if not isinstance(given, Mapping):
        return given  # type: ignore[no-any-return]  # its type is checked where it is stored
    known = [item.name for item in fields(base) if item.init]
    for name in given:
        if name not in known:
            raise UnknownNameError(f"field of {type(base).__name__}", name, known)
    return replace(base, **given)


def _source(given: Any) -> Path | FrameSource | None:
    if given is None or (hasattr(given, "frames") and hasattr(given, "info")):
        source: FrameSource | None = given
        return source
    if isinstance(given, np.ndarray):
        return array_source(given)
    if not isinstance(given, str | Path):
        raise InputError(
            f"The source is {shown(given)}; give a file, a folder of images or an array of shape (frames, height, "
            "width, 3)."
        )
    if not str(given):
        raise InputError("The name of the input is empty; give a video file or a folder of images.")
    return _path("source", given)


def _path(name: str, given: Any) -> Path | None:
    """The path that a name means; raises :class:`~redetail.errors.SettingsError` for a name that no file can have."""
    if given is None:
        return None
    if not isinstance(given, str | Path):
        raise SettingsError(f"{name} is {shown(given)}; it must be the name of a file or folder.")
    try:
        named = b"\0" not in os.fsencode(given)
    except UnicodeEncodeError:
        named = False
    if not named:
        raise SettingsError(f"{name} is {shown(str(given))}, which cannot be a file name; choose another name.")
    try:
        return Path(given).expanduser()
    except RuntimeError as error:
        raise SettingsError(
            f"{name} is {shown(str(given))}, but the home folder that ~ stands for cannot be found; give the full path."
        ) from error


def _several(name: str, given: Any, kind: type, word: str) -> tuple[Any, ...]:
    """What was given, as a tuple of values of this kind."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise SettingsError(f"{name} must be a list in which each item is {word}, not {shown(given)}.")
    values = tuple(given)
    for value in values:
        _check_kind(name, value, kind, word)
    return values


def _check_kind(name: str, value: Any, kind: type, word: str) -> None:
    if value is not None and not isinstance(value, kind):
        raise SettingsError(f"{name} is {shown(value)}; give {word}.")
