"""Editing tracks: drop, keep, rename, merge and split, by numbers or labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from redetail.errors import RegionError, UnknownNameError
from redetail.selection.tracks_document import SubjectTrack, Tracks

Name = int | str


def dropped(tracks: Tracks, names: Iterable[Name]) -> Tracks:
    """The tracks without those that have these numbers or labels."""
    gone = {_index(tracks, name) for name in names}
    return _with(tracks, (one for i, one in enumerate(tracks.subjects) if i not in gone))


def kept(tracks: Tracks, names: Iterable[Name]) -> Tracks:
    """Only the tracks with these numbers or labels, in their order."""
    wanted = {_index(tracks, name) for name in names}
    return _with(tracks, (one for i, one in enumerate(tracks.subjects) if i in wanted))


def renamed(tracks: Tracks, name: Name, label: str) -> Tracks:
    """Give one track another label; raises RegionError for a label that another track has, or that is a number."""
    index = _index(tracks, name)
    if not label or label.isdecimal() or any(one.label == label for one in tracks.subjects):
        raise RegionError(
            f"A track cannot be called {label!r}; give a label that is neither a number nor already in use."
        )
    return _with(tracks, (replace(one, label=label) if i == index else one for i, one in enumerate(tracks.subjects)))


def merged(tracks: Tracks, names: Sequence[Name]) -> Tracks:
    """Merge several tracks into one, which keeps the label and the place of the first track named.

    Raises :class:`~redetail.errors.RegionError` if two of them are in the same frame.
    """
    indices = list(dict.fromkeys(_index(tracks, name) for name in names))
    parts = [tracks.subjects[i] for i in indices]
    tracklets = sorted((one for part in parts for one in part.tracklets), key=lambda one: one.start)
    for one, other in pairwise(tracklets):
        if other.start < one.stop:
            labels = " and ".join(part.label for part in parts)
            raise RegionError(
                f"{labels} cannot be merged, because they overlap in frame {other.start}; split one of them first."
            )
    whole = replace(parts[0], tracklets=tuple(tracklets))
    rest = indices[1:]
    return _with(tracks, (whole if i == indices[0] else one for i, one in enumerate(tracks.subjects) if i not in rest))


def split(tracks: Tracks, name: Name, frame: int) -> Tracks:
    """Split one track into two: the part from ``frame`` on becomes the last track, under a new label.

    Raises :class:`~redetail.errors.RegionError` unless the track has frames both before and after the split.
    """
    index = _index(tracks, name)
    subject = tracks.subjects[index]
    first, last = subject.tracklets[0].start, subject.tracklets[-1].stop
    if not first < frame < last:
        raise RegionError(
            f"{subject.label} cannot be split at frame {frame}; its frames are {first} to {last - 1}, so give one of "
            "these frames other than the first."
        )
    before = tuple(part for one in subject.tracklets if (part := one.between(0, frame)))
    after = tuple(part for one in subject.tracklets if (part := one.between(frame, last)))
    label = f"{subject.label} from {frame}"
    parts = [replace(one, tracklets=before) if i == index else one for i, one in enumerate(tracks.subjects)]
    return _with(tracks, [*parts, SubjectTrack(label, after)])


def _index(tracks: Tracks, name: Name) -> int:
    for index, one in enumerate(tracks.subjects):
        if name in (index + 1, one.label):
            return index
    known = [f"{number} ({one.label})" for number, one in enumerate(tracks.subjects, 1)]
    raise UnknownNameError("track", name, known)


def _with(tracks: Tracks, subjects: Iterable[SubjectTrack]) -> Tracks:
    return replace(tracks, subjects=tuple(subjects))
