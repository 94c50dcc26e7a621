"""Detectors by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from redetail.detection.base import Detector
from redetail.detection.face import FaceDetector
from redetail.detection.hands import HandDetector
from redetail.detection.people import PersonDetector
from redetail.detection.turned import TurnedFaceDetector
from redetail.errors import SettingsError, UnknownNameError

_DETECTORS: Mapping[str, type[FaceDetector | HandDetector | PersonDetector | TurnedFaceDetector]] = MappingProxyType(
    {"face": FaceDetector, "turned-faces": TurnedFaceDetector, "hands": HandDetector, "people": PersonDetector}
)


def detector_names() -> tuple[str, ...]:
    """Names that :func:`load_detector` knows."""
    return tuple(_DETECTORS)


def detector_label(name: str) -> str:
    """What the detector with this name calls a subject: "face", "hand", "person"."""
    return _DETECTORS[name].label


def load_detector(name: str, **options: Any) -> Detector:
    """The detector with this name; ``options`` are those of its class: :class:`~.face.FaceDetector`,
    :class:`~.turned.TurnedFaceDetector`, :class:`~.hands.HandDetector` or :class:`~.people.PersonDetector`.

    Raises :class:`~redetail.errors.UnknownNameError` for a name that does not exist,
    :class:`~redetail.errors.SettingsError` for an option that the detector does not have, and
    :class:`~redetail.errors.DependencyError` if its package is missing.
    """
    if name not in _DETECTORS:
        raise UnknownNameError("detector", name, _DETECTORS)
    try:
        return _DETECTORS[name](**options)
    except TypeError as error:
        raise SettingsError(f"The detector {name!r} cannot be created with the options {options}: {error}.") from error
