"""Subjects that a detector finds and a tracker follows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from redetail.detection import CutDetector, Detector, detector_label, detector_names, load_detector
from redetail.detection.cadence import Picture, searched
from redetail.detection.second_opinion import with_second_opinion
from redetail.documents import shown, text
from redetail.errors import SettingsError, UnknownNameError
from redetail.identity import DescribedFaces, faceness
from redetail.region import Detection, Region, Size
from redetail.selection.base import CommandOption, Search, Selection
from redetail.tracking import Track, Tracker, regions_from_tracks
from redetail.tracking.tracker import SURE, UNSURE
from redetail.video.glimpse import Glimpse

FADE = 5
"""Frames over which a subject fades in or out in the middle of a shot: a fifth of a second at 24 frames per second."""


@dataclass(frozen=True)
class DetectorSelection(Selection):
    """Every subject that a detector finds; ``detector`` is a name or an object of your own.

    Raises :class:`~redetail.errors.UnknownNameError` for a name that does not exist.
    """

    name: ClassVar[str] = "detect"
    option: ClassVar[CommandOption] = CommandOption(
        "NAME", "what to look for: face, turned-faces, hands or people [face]"
    )

    detector: str | Detector = "face"

    def __post_init__(self) -> None:
        # Only the name is checked: if boxes or masks select the subjects, neither a detector nor OpenCV is loaded.
        if isinstance(self.detector, str) and self.detector not in detector_names():
            raise UnknownNameError("detector", self.detector, detector_names())
        if not isinstance(self.detector, str) and not callable(getattr(self.detector, "detect", None)):
            raise SettingsError(
                f"detect is {shown(self.detector)}; give a detector's name or an object with a detect method."
            )

    @classmethod
    def from_option(cls, value: Any) -> Self | None:
        """A name or a detector."""
        return cls(value)

    @classmethod
    def from_document(cls, value: Any, folder: Path) -> Self:
        """A name."""
        return cls(text(value))

    def to_document(self) -> str | None:
        """The name."""
        return self.detector if isinstance(self.detector, str) else None

    def find(self, search: Search) -> list[Region]:
        """Run the detector over every frame and follow what it finds."""
        detections = detect_frames(search.glimpses(), loaded(self.detector))
        return track_detections(detections, search.size, search.crop_factor)

    @property
    def nothing_found(self) -> str:
        """The message names what was searched for."""
        what = detector_label(self.detector) if isinstance(self.detector, str) else "subject"
        return f"No {what} was found, so nothing was detailed; mark the subject with --box or --mask."


PLAIN = 0.8
"""Mean confidence of a track from which it counts as a face, whatever its descriptor."""
LEAST_FACENESS, DOUBT = -0.08, 0.5
"""Faceness of a mean descriptor below which a track is not a face, and how much more it needs for each unit by which
its confidence is below PLAIN; set on the tuning half of the labelled clips (docs/subjects.md)."""
SEEN_AGAIN = -0.4
"""Mean second opinion from which a track is a face, whatever its descriptor; any limit from -0.6 to -0.4 gives the same
result on the tuning clips (docs/subjects.md)."""
HEAD, SMALLER = 0.9, 0.5
"""Largest distance between centres, in sides of a face, at which something lies on that face's head or hair; and the
share of the face's side below which another face in front of it or behind it hardly ever falls."""


@dataclass(frozen=True)
class Detections:
    """What a detector found in consecutive frames.

    ``per_frame`` holds the detections of frames ``start``, ``start + 1``, ...; ``cuts`` are the indices of frames that
    start a new shot.
    """

    start: int
    per_frame: tuple[tuple[Detection, ...], ...]
    cuts: frozenset[int]

    @property
    def stop(self) -> int:
        """Index after the last frame."""
        return self.start + len(self.per_frame)


def loaded(detector: str | Detector) -> Detector:
    """The given detector, or the detector with the given name."""
    return load_detector(detector) if isinstance(detector, str) else detector


def detect_frames(frames: Iterable[Glimpse], detector: Detector) -> Detections:
    """Run a detector over frames, describe faces in some of them, and find the cuts between shots."""
    shots, faces = CutDetector(), DescribedFaces()
    start: int | None = None
    per_frame: list[tuple[Detection, ...]] = []
    cuts = set()
    pictures = (Picture(frame, shots.update_thumbnail(frame.thumbnail)) for frame in frames)
    for picture, found in searched(pictures, detector):
        start = picture.index if start is None else start
        if picture.cut:
            cuts.add(picture.index)
        described = faces.update(partial(getattr, picture, "pixels"), found, picture.cut)
        per_frame.append(tuple(_looked_at_again(picture, one) for one in described))
    return Detections(start or 0, tuple(per_frame), frozenset(cuts))


def _looked_at_again(picture: Picture, detection: Detection) -> Detection:
    """The detection, with a second opinion if it was just described and is in doubt."""
    in_doubt = detection.descriptor is not None and detection.confidence < PLAIN
    return with_second_opinion(picture.pixels, detection) if in_doubt else detection


def track_detections(
    detections: Detections, size: Size, crop_factor: float, *, sure: float = SURE, max_regions: int | None = None
) -> list[Region]:
    """Turn detections into subjects over time with smooth crop windows.

    A subject that appears or is lost in the middle of a shot fades in or out, so that it does not turn sharp suddenly.
    ``sure``: confidence (0..1) that a subject must reach in some frames; ``max_regions``: keep only this many of the
    most prominent subjects.
    """
    tracker = Tracker(sure=sure, unsure=min(UNSURE, sure))
    for index, found in enumerate(detections.per_frame, detections.start):
        tracker.update(index, found, cut=index in detections.cuts)
    edges = {detections.start, detections.stop, *detections.cuts}
    tracks = [_by_itself(track) for track in tracker.finish() if looks_real(track, sure)]
    tracks = [track for track in tracks if not any(is_hair(track, other) for other in tracks)]
    return [
        replace(
            region,
            fade_in=0 if region.start in edges else FADE,
            fade_out=0 if region.stop in edges else FADE,
        )
        for region in regions_from_tracks(tracks, size, crop_factor=crop_factor, max_regions=max_regions)
    ]


def looks_real(track: Track, sure: float = SURE) -> bool:
    """Whether a track is probably a face, and not a flower, a guitar or an ape that the detector mistook for one.

    The detector is sure, or the descriptor is that of a face, or a second detector sees a face, too. A face that is too
    small to be described needs a mean confidence of ``sure``. Other kinds are always accepted.
    """
    if track.label != "face" or track.confidence >= PLAIN:
        return True
    if track.descriptor is None:
        return track.confidence >= min(sure, SURE)
    seen_again = track.second_opinion is not None and track.second_opinion >= SEEN_AGAIN
    return seen_again or _has_a_faces_descriptor(track)


def _has_a_faces_descriptor(track: Track) -> bool:
    least = LEAST_FACENESS + DOUBT * (PLAIN - track.confidence)
    return track.descriptor is not None and faceness(track.descriptor) >= least


def _by_itself(track: Track) -> Track:
    """The track, joined with no other one if only the second opinion makes it a face: such descriptors, often of faces
    in profile, resemble those of other people too much."""
    unlike = track.label == "face" and track.confidence < PLAIN and track.descriptor is not None
    return replace(track, person=None) if unlike and not _has_a_faces_descriptor(track) else track


def is_hair(track: Track, other: Track) -> bool:
    """Whether a track shows something on the head of ``other``, such as a curl or an earring.

    Such a track is small, has less confidence than ``other`` and less than ``PLAIN``, and exists only while ``other``
    does. Kinds other than faces are never hair."""
    if {track.label, other.label} != {"face"} or track.confidence >= min(PLAIN, other.confidence):
        return False
    if track.start < other.start or track.stop > other.stop:
        return False
    large = other.boxes[track.start - other.start : track.stop - other.start]
    sides, large_sides = (boxes[:, 2:] - boxes[:, :2] for boxes in (track.boxes, large))
    apart = np.abs((track.boxes[:, :2] + track.boxes[:, 2:] - large[:, :2] - large[:, 2:]) / 2) / large_sides
    near = np.median(apart, axis=0).max() <= HEAD
    return bool(near and np.median(sides.min(axis=1) / large_sides.min(axis=1)) < SMALLER)
