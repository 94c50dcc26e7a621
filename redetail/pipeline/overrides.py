"""Settings of single subjects, applied to the regions that were found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from redetail.engines.base import ChecksSettings, Engine
from redetail.engines.checks import check_preset, check_settings
from redetail.errors import SettingsError, UnknownNameError
from redetail.job import Subject
from redetail.region import Region
from redetail.settings import Settings


@dataclass(frozen=True)
class RegionSettings:
    """A region that is to be detailed: its number (from 1, those that are skipped are counted) and its settings."""

    region: Region
    track: int
    settings: Settings


def check_subjects(subjects: Sequence[Subject], base: Settings, engine: Engine) -> None:
    """Refuse settings that the engine does not have, before a long clip is searched."""
    _check(base, engine)
    for subject in subjects:
        with _naming(subject):
            check_preset(subject.settings, engine.capabilities)
            _check(subject.over(base), engine)


def _check(settings: Settings, engine: Engine) -> None:
    check_settings(settings, engine.capabilities)
    if isinstance(engine, ChecksSettings):
        engine.check(settings)


def region_settings(regions: Sequence[Region], subjects: Sequence[Subject], base: Settings) -> list[RegionSettings]:
    """Every region that is not skipped, with its own settings; of several entries for a subject, later ones win.

    Raises :class:`~redetail.errors.UnknownNameError` where a subject is not among the regions.
    """
    known = [f"{number} ({region.label})" for number, region in enumerate(regions, 1)]
    for subject in subjects:
        if not any(_meant(subject, number, region) for number, region in enumerate(regions, 1)):
            raise UnknownNameError("subject", subject.track, known or ["none, since nothing was found"])
    detailed = []
    for number, region in enumerate(regions, 1):
        own = [subject for subject in subjects if _meant(subject, number, region)]
        settings = base
        for subject in own:
            settings = subject.over(settings)
        if not any(subject.skip for subject in own):
            detailed.append(RegionSettings(region, number, settings))
    return detailed


@contextmanager
def _naming(subject: Subject) -> Iterator[None]:
    """Put the subject before what is wrong with its settings."""
    try:
        yield
    except SettingsError as error:
        raise SettingsError(f"Subject {subject.track}: {error}") from error


def _meant(subject: Subject, number: int, region: Region) -> bool:
    return subject.track in (number, region.label)
