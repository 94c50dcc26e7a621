"""People by their pictures: which of the subjects that were found is the person in a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from redetail.detection import load_detector
from redetail.errors import InputError
from redetail.identity import SAME, Descriptor, FaceDescriber, distance
from redetail.region import Detection
from redetail.selection.subjects import FoundSubject
from redetail.video import open_source

MIN_CONFIDENCE = 0.6
"""Least confidence of the face in a picture of a person."""
CLEARLY_LARGER = 2.0
"""Least ratio of areas from which the largest face of a picture is the one that is meant."""


def described_pictures(pictures: Sequence[Path]) -> Mapping[Path, Descriptor]:
    """The descriptor of the face in each picture.

    Raises :class:`~redetail.errors.InputError` for a picture that cannot be read, shows no face, or shows several of
    which none is clearly the largest.
    """
    detector, describer = load_detector("face"), FaceDescriber()
    described = {}
    for path in pictures:
        picture = next(iter(open_source(path).frames())).pixels
        face = _main_face(path, detector.detect(picture))
        described[path] = describer.describe(picture, np.array(face.landmarks))
    return described


def _main_face(path: Path, found: Sequence[Detection]) -> Detection:
    sure = [face for face in found if face.confidence >= MIN_CONFIDENCE]
    faces = sorted(sure, key=lambda face: -face.box.area)
    if not faces:
        raise InputError(f"{path} shows no face that is seen clearly; give a picture of the person's face.")
    if len(faces) > 1 and faces[0].box.area < CLEARLY_LARGER * faces[1].box.area:
        raise InputError(f"{path} shows {len(faces)} faces of similar size; cut out the person who is meant.")
    return faces[0]


def recognised(people: Mapping[Path, Descriptor], subjects: Sequence[FoundSubject]) -> dict[int, Path]:
    """Whom each subject's number shows; subjects that show nobody of these, or cannot be told apart, are left out.

    The nearest pairs come first, since a person cannot be in two places: of subjects that are seen in one frame only
    the nearest is the person.
    """
    pairs = [
        (distance(descriptor, subject.descriptor), index, subject, path)
        for index, subject in enumerate(subjects)
        if subject.descriptor is not None
        for path, descriptor in people.items()
    ]
    taken: dict[Path, list[FoundSubject]] = {path: [] for path in people}
    shown: dict[int, Path] = {}
    for apart, _, subject, path in sorted(pairs, key=lambda pair: pair[:2]):
        if apart < SAME and subject.number not in shown and not any(map(subject.meets, taken[path])):
            shown[subject.number] = path
            taken[path].append(subject)
    return shown
