"""Settings of single subjects: which subject is meant, what differs for it, and whether it is left alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from redetail.engines.base import ChecksSettings, Engine
from redetail.engines.checks import check_settings
from redetail.errors import SettingsError, UnknownNameError
from redetail.region import Region
from redetail.settings import Settings, check_given, display_name, resolve

SHARED = ("crop_factor",)
"""Settings that are the same for all: windows are chosen while subjects are searched."""


@dataclass(frozen=True)
class Subject:
    """What differs for one subject.

    ``track``: its number in the order of ``redetail detect``, from 1, or its label ("face 2"); ``skip``: leave it as
    it is; ``settings``: those that differ, a preset included. Raises :class:`~redetail.errors.SettingsError` for a
    setting that all subjects share.
    """

    track: int | str
    skip: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in SHARED:
            if name in self.settings:
                raise SettingsError(
                    f"Subject {self.track} has a {display_name(name)} of its own; all subjects share one, so set it "
                    "outside of the subject."
                )

    def over(self, base: Settings) -> Settings:
        """The complete settings of this subject; raises :class:`~redetail.errors.SettingsError` as Settings does."""
        return resolve(self.settings, base.as_dict())


@dataclass(frozen=True)
class Chosen:
    """A region that is to be detailed: its number (from 1, those that are skipped are counted) and its settings."""

    region: Region
    track: int
    settings: Settings


def check_asked(settings: Mapping[str, Any], subjects: Sequence[Subject]) -> None:
    """Refuse settings that no engine has, before one is loaded."""
    check_given(settings)
    for subject in subjects:
        with _naming(subject):
            check_given(subject.settings)


def check_subjects(subjects: Sequence[Subject], base: Settings, engine: Engine) -> None:
    """Refuse settings that the engine does not have, before a long clip is searched."""
    _check(base, engine)
    for subject in subjects:
        with _naming(subject):
            _check(subject.over(base), engine)


def _check(settings: Settings, engine: Engine) -> None:
    check_settings(settings, engine.capabilities)
    if isinstance(engine, ChecksSettings):
        engine.check(settings)


def choose(regions: Sequence[Region], subjects: Sequence[Subject], base: Settings) -> list[Chosen]:
    """Every region that is not skipped, with its own settings; of several entries for a subject, later ones win.

    Raises :class:`~redetail.errors.UnknownNameError` where a subject is not among the regions.
    """
    known = [f"{number} ({region.label})" for number, region in enumerate(regions, 1)]
    for subject in subjects:
        if not any(_meant(subject, number, region) for number, region in enumerate(regions, 1)):
            raise UnknownNameError("subject", subject.track, known or ["none, since nothing was found"])
    chosen = []
    for number, region in enumerate(regions, 1):
        own = [subject for subject in subjects if _meant(subject, number, region)]
        settings = base
        for subject in own:
            settings = subject.over(settings)
        if not any(subject.skip for subject in own):
            chosen.append(Chosen(region, number, settings))
    return chosen


@contextmanager
def _naming(subject: Subject) -> Iterator[None]:
    """Put the subject before what is wrong with its settings."""
    try:
        yield
    except SettingsError as error:
        raise SettingsError(f"Subject {subject.track}: {error}") from error


def _meant(subject: Subject, number: int, region: Region) -> bool:
    return subject.track in (number, region.label)
