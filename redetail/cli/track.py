"""``redetail track``: write who is where as a document, and edit such documents."""

from __future__ import annotations

import argparse
import logging
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from redetail.cli.config import config_job
from redetail.cli.display import progress_display, tell
from redetail.cli.outputs import keep_existing
from redetail.cli.request import selected
from redetail.errors import OutputError, SettingsError
from redetail.evaluate.sheet import Picture, png
from redetail.files import encoded, expanded, made_folder, write_text, writing_together
from redetail.imaging.resample import crop, from_float
from redetail.job import Job, search
from redetail.pipeline.outputs import check_names
from redetail.progress import CancelToken
from redetail.region import Box, Size
from redetail.selection.detected import DetectorSelection
from redetail.selection.detector_file import DetectorFileSelection
from redetail.selection.follow import FollowSelection
from redetail.selection.track_edits import dropped, kept, merged, renamed, split
from redetail.selection.tracks import TracksSelection, read_tracks
from redetail.selection.tracks_document import SubjectTrack, Tracks
from redetail.video import FrameSource, open_source
from redetail.video.target import check_target

_log = logging.getLogger(__name__)

THUMBNAIL = 192
"""Longer side of a thumbnail, in pixels."""


def track(options: argparse.Namespace, cancel: CancelToken) -> int:
    """Find subjects, or edit a document, and write a document."""
    output = expanded(options.output)
    keep_existing([output], options.overwrite)
    check_target(output, None)
    if options.edit and options.input is not None:
        raise SettingsError(
            "--edit changes a tracks file without reading a video; leave out either --edit or the video."
        )
    if options.edit:
        edited = _edited(read_tracks(expanded(options.edit)), options)
        write_text(output, edited.to_text())
        tell("" if options.quiet else f"{output}: {_listed(edited)}")
        return 0
    if options.input is None or _edits(options):
        raise SettingsError("Name either the video to search, or the tracks file to change with --edit TRACKS.json.")
    return _found(options, output, cancel)


def _found(options: argparse.Namespace, output: Path, cancel: CancelToken) -> int:
    source = open_source(expanded(options.input), strict=bool(options.strict) or config_job(options).strict)
    job = Job().overlay(source=source, start=options.start, end=options.end, **selected(options))
    check_names([output], [expanded(options.input), *job.files])
    _check_boxes_alone(job)
    folder = _thumbnail_folder(output, options.overwrite)
    with progress_display(options.quiet) as progress:
        found = search(job, progress=progress, cancel=cancel)
    tracks = Tracks.of(found.subjects, source.info.size)
    pictures = {folder / f"{i}.png": png(_thumbnail(one, source)) for i, one in enumerate(tracks.subjects, 1)}
    subjects = [replace(one, thumbnail=f"{folder.name}/{path.name}")
                for one, path in zip(tracks.subjects, pictures, strict=True)]  # fmt: skip
    tracks = replace(tracks, subjects=tuple(subjects))
    with made_folder(folder), writing_together({**pictures, output: encoded(tracks.to_text())}):
        pass
    for notice in found.notices:
        _log.warning("%s", notice)
    tell("" if options.quiet else f"{output}: {_listed(tracks)}")
    return 3 if source.faults else 0


_BOXES_ALONE = (DetectorSelection, DetectorFileSelection, FollowSelection, TracksSelection)


def _check_boxes_alone(job: Job) -> None:
    """Refuse masks and fixed windows, which boxes over time cannot represent; the document would give other pixels."""
    for one in job.selection:
        if not isinstance(one, _BOXES_ALONE):
            raise SettingsError(
                f"--{one.name} cannot be written as tracks, because a tracks file holds only boxes over time; use "
                f"--{one.name} with the command 'redetail detail'."
            )


def _listed(tracks: Tracks) -> str:
    rows = [f"{len(tracks.subjects)} track{'s' * (len(tracks.subjects) != 1)}"]
    for number, one in enumerate(tracks.subjects, 1):
        spans = ", ".join(f"{seen.start} to {seen.stop - 1}" for seen in one.tracklets)
        rows.append(f"  {number}. {one.label}: frames {spans}")
    return "\n".join(rows) + "\n"


def _thumbnail_folder(output: Path, overwrite: bool) -> Path:
    """The folder of thumbnails next to the document; raises OutputError if it cannot be used."""
    folder = output.parent / f"{output.stem}-thumbnails"
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise OutputError(f"{folder} is a file, but the thumbnails need a folder of that name; give another output.")
    if os.path.isdir(folder) and any(folder.iterdir()) and not overwrite:
        raise OutputError(
            f"{folder} already contains files; choose another output, or replace the thumbnails with --overwrite."
        )
    return folder


def _thumbnail(subject: SubjectTrack, source: FrameSource) -> Picture:
    """A picture of the subject in the frame in which it is largest."""
    areas = [(float(np.prod(box[2:] - box[:2])), seen.start + i, box) for seen in subject.tracklets
             for i, box in enumerate(seen.boxes)]  # fmt: skip
    _, index, corners = max(areas, key=lambda area: area[0])
    box = Box(*map(float, corners)).grown(1.5)
    scale = THUMBNAIL / max(box.width, box.height)
    size = Size(max(1, round(box.width * scale)), max(1, round(box.height * scale)))
    pixels = next(iter(source.frames(index, index + 1))).pixels
    return from_float(crop(pixels, box, size), np.uint8)


def _edits(options: argparse.Namespace) -> list[tuple[str, str]]:
    """The typed edits of a document, in the order in which they are applied."""
    return [(name, value) for name in _EDITS for value in getattr(options, name) or ()]


def _edited(tracks: Tracks, options: argparse.Namespace) -> Tracks:
    """The edited tracks; numbers and labels always refer to the original document, whichever edit comes first."""
    edits = _edits(options)
    if not edits:
        raise SettingsError("No edit was given; use --split, --merge, --keep, --drop or --rename.")
    labels = {str(number): one.label for number, one in enumerate(tracks.subjects, 1)}
    for name, typed in edits:
        tracks = _EDITS[name](tracks, labels, typed)
    return tracks


Labels = dict[str, str]
"""Labels of the tracks of the edited document by their numbers."""


def _name(labels: Labels, typed: str) -> str:
    return labels.get(typed.strip(), typed.strip())


def _names(labels: Labels, typed: str) -> list[str]:
    return [_name(labels, part) for part in typed.split(",")]


def _rename(tracks: Tracks, labels: Labels, typed: str) -> Tracks:
    name, given, label = typed.partition("=")
    if not given:
        raise SettingsError(f"--rename is {typed!r}; give TRACK=LABEL, as in 1=anna.")
    return renamed(tracks, _name(labels, name), label.strip())


def _split(tracks: Tracks, labels: Labels, typed: str) -> Tracks:
    matched = re.fullmatch(r"(.+)@(\d{1,12})f?", typed)
    if matched is None:
        raise SettingsError(f"--split is {typed!r}; give TRACK@FRAME, as in 2@120f.")
    return split(tracks, _name(labels, matched[1]), int(matched[2]))


_EDITS: dict[str, Callable[[Tracks, Labels, str], Tracks]] = {
    "split": _split,
    "merge": lambda tracks, labels, typed: merged(tracks, _names(labels, typed)),
    "keep": lambda tracks, labels, typed: kept(tracks, _names(labels, typed)),
    "drop": lambda tracks, labels, typed: dropped(tracks, _names(labels, typed)),
    "rename": _rename,
}
