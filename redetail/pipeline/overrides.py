"""Applies settings for individual subjects to the regions that were found."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from redetail.engines.base import ChecksSettings, Engine
from redetail.engines.checks import check_preset, check_settings
from redetail.errors import SettingsError, UnknownNameError
from redetail.job import Subject
from redetail.region import Region
from redetail.selection.people import described_pictures, recognised
from redetail.selection.subjects import FoundSubject
from redetail.settings import Settings, denoise_points


@dataclass(frozen=True)
class RegionSettings:
    """A region to be detailed, its number (from 1; skipped regions are counted), and its settings."""

    region: Region
    track: int
    settings: Settings


def check_subjects(subjects: Sequence[Subject], base: Settings, engine: Engine) -> None:
    """Refuse settings that the engine does not have, and pictures without a face, before a long clip is searched."""
    _check(base, engine)
    described_pictures([path for subject in subjects for path in subject.files])
    for subject in subjects:
        with _naming(subject):
            check_preset(subject.settings, engine.capabilities)
            _check(subject.over(base), engine)


def _check(settings: Settings, engine: Engine) -> None:
    check_settings(settings, engine.capabilities)
    if isinstance(engine, ChecksSettings):
        engine.check(settings)


def region_settings(
    found: Sequence[FoundSubject], subjects: Sequence[Subject], base: Settings, left_out: Collection[int] = ()
) -> list[RegionSettings]:
    """The regions of all subjects except those that are skipped or ``left_out`` (numbers), with their own settings.

    If there are several entries for a subject, later ones override earlier ones; an entry for a person who is not seen
    changes nothing. Raises :class:`~redetail.errors.UnknownNameError` if the track of an entry was not found.
    """
    _check_tracks(found, subjects)
    pictures = [path for subject in subjects for path in subject.files]
    seen = recognised(described_pictures(pictures), found) if pictures and found else {}
    detailed = []
    for one in found:
        own = [subject for subject in subjects if _meant(subject, one, seen)]
        settings = base
        for subject in own:
            settings = subject.over(settings)
        settings = _by_size(settings, one, own)
        if one.number not in left_out and not any(subject.skip for subject in own):
            detailed += [RegionSettings(region, one.number, settings) for region in one.regions]
    return detailed


def _by_size(settings: Settings, one: FoundSubject, own: Sequence[Subject]) -> Settings:
    """The settings with the denoise for the subject's size, unless the subject has its own denoise."""
    points = denoise_points(settings.denoise_by_size)
    named = next((sub.settings for sub in reversed(own) if {"denoise", "denoise_by_size"} & {*sub.settings}), {})
    if not points or ("denoise" in named and "denoise_by_size" not in named):
        return settings
    sizes, denoises = np.array(points).T
    return replace(settings, denoise=float(np.interp(one.side, sizes, denoises)))


def _check_tracks(found: Sequence[FoundSubject], subjects: Sequence[Subject]) -> None:
    for subject in subjects:
        if subject.track is not None and not any(one.named(subject.track) for one in found):
            raise UnknownNameError("subject", subject.track, [*map(str, found)])


@contextmanager
def _naming(subject: Subject) -> Iterator[None]:
    """Put the subject's name in front of errors in its settings."""
    try:
        yield
    except SettingsError as error:
        raise SettingsError(f"Subject {subject}: {error}") from error


def _meant(subject: Subject, one: FoundSubject, seen: Mapping[int, Path]) -> bool:
    return seen.get(one.number) == subject.who if subject.track is None else one.named(subject.track)
