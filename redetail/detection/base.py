"""Detectors: who is in one frame.

A detector looks at single frames and remembers nothing; following a subject is the tracker's work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from redetail.errors import DependencyError, InputError, SettingsError, UnknownNameError
from redetail.region import Detection

RGB = NDArray[np.uint8] | NDArray[np.uint16]
"""(H, W, 3) upright picture: uint8 0..255 or uint16 0..65535."""


class Detector(Protocol):
    """Finds subjects in a frame."""

    def detect(self, frame: RGB) -> list[Detection]:
        """All subjects of ``frame``, surest first; boxes lie inside the frame.

        Unsure ones are reported too (the tracker keeps a subject alive with them), so compare ``confidence`` before
        you use a detection by itself. Raises :class:`~redetail.errors.InputError` for what is no picture.
        """
        ...


def to_uint8(frame: RGB) -> NDArray[np.uint8]:
    """The picture with 8 bits a channel; raises InputError unless it is (H, W, 3) uint8 or uint16."""
    if frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape or frame.dtype not in (np.uint8, np.uint16):
        raise InputError(f"A frame must be (H, W, 3) of uint8 or uint16, not {frame.shape} of {frame.dtype}.")
    if frame.dtype == np.uint16:
        return (frame >> 8).astype(np.uint8)
    return frame.astype(np.uint8, copy=False)


def import_cv2() -> Any:
    """OpenCV; raises :class:`~redetail.errors.DependencyError` where it is not installed."""
    try:
        import cv2
    except ImportError as error:
        raise DependencyError("opencv-python-headless", "standalone") from error
    return cv2


def _load_face(**options: Any) -> Detector:
    from redetail.detection.face import FaceDetector

    return FaceDetector(**options)


_LOADERS: Mapping[str, Callable[..., Detector]] = MappingProxyType({"face": _load_face})


def detector_names() -> tuple[str, ...]:
    """Names that :func:`load_detector` knows."""
    return tuple(_LOADERS)


def load_detector(name: str, **options: Any) -> Detector:
    """The detector of that name; ``options`` are those of its class (``face``: :class:`~.face.FaceDetector`).

    Raises :class:`~redetail.errors.UnknownNameError` for a name that does not exist,
    :class:`~redetail.errors.SettingsError` for an option that it does not have, and
    :class:`~redetail.errors.DependencyError` where its package is missing.
    """
    if name not in _LOADERS:
        raise UnknownNameError("detector", name, _LOADERS)
    try:
        return _LOADERS[name](**options)
    except TypeError as error:
        raise SettingsError(f"The detector {name!r} cannot be made with the options {options}: {error}.") from error
