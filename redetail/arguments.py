"""Checks the arguments of the library's stages before any work, so that a mistake raises an error of one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from redetail.documents import shown
from redetail.engines.base import Engine, Pixels
from redetail.errors import RegionError, SettingsError
from redetail.progress import CancelToken, ProgressCallback
from redetail.region import Region, Size
from redetail.selection.detected import Detections
from redetail.video.base import VideoInfo


def check_run(engine: Engine | None, progress: ProgressCallback, cancel: CancelToken | None) -> None:
    """Raise :class:`~redetail.errors.SettingsError` if a run is given objects of the wrong type."""
    if engine is not None and not (callable(_of(engine, "run")) and _of(engine, "capabilities") is not None):
        raise SettingsError(f"engine is {shown(engine)}; give what redetail.load_engine returns, or leave it out.")
    if not callable(progress):
        raise SettingsError(f"progress is {shown(progress)}; give a function that takes a redetail.Progress.")
    if cancel is not None and not isinstance(cancel, CancelToken):
        raise SettingsError(f"cancel is {shown(cancel)}; give a redetail.CancelToken.")


def check_detections(detections: Detections) -> None:
    """Raise :class:`~redetail.errors.RegionError` for anything that :func:`redetail.detect` does not return."""
    if not isinstance(detections, Detections):
        raise RegionError(f"detections must be what redetail.detect returns, not {shown(detections)}.")


def size_of(given: Any) -> Size:
    """A size, or two whole numbers; raises :class:`~redetail.errors.RegionError`."""
    if isinstance(given, Size):
        return given
    try:
        width, height = given
        numbers = [int(width), int(height)]
    except (TypeError, ValueError, OverflowError, RuntimeError):
        numbers = []
    if not numbers or numbers != [width, height]:
        raise RegionError(f"size is {shown(given)}; give width and height in whole pixels.")
    return Size(*numbers)


def feather_of(given: Any) -> int:
    """The width of a feather in pixels; raises :class:`~redetail.errors.SettingsError`."""
    if isinstance(given, bool) or not isinstance(given, int | np.integer) or not 0 <= given <= 1000:
        raise SettingsError(f"paste-feather is {shown(given)}; give a whole number of pixels from 0 to 1000.")
    return int(given)


def regions_of(given: Iterable[Region], clip: VideoInfo) -> tuple[Region, ...]:
    """The regions, which must fit the frames of the clip.

    Raises :class:`~redetail.errors.RegionError` for anything but a region, and for a region that does not fit the clip:
    one that is too long, or whose window is larger than the frame or outside it.
    """
    regions = _several(given, "regions", Region, "a redetail.Region")
    for region in regions:
        _check_fits(region, clip)
    return regions


def check_ends(regions: Iterable[Region], frames: int) -> None:
    """Raise :class:`~redetail.errors.RegionError` for a region that continues after the last of ``frames``."""
    for region in regions:
        if region.stop > frames:
            raise RegionError(
                f"Region {region.label!r} continues to frame {region.stop - 1}, but the last frame of the clip is "
                f"{frames - 1}; shorten the region."
            )


def crops_of(given: Iterable[Any]) -> tuple[Pixels, ...]:
    """Crops of every region as arrays of floating point numbers; raises :class:`~redetail.errors.RegionError`."""
    crops = _several(given, "crops", np.ndarray, "an array of shape (frames, height, width, 3)")
    for taken in crops:
        if taken.dtype.kind != "f" or 0 in taken.shape:
            raise RegionError(
                f"An array in crops has the shape {taken.shape} and the type {taken.dtype}; give arrays of floating "
                "point numbers from 0 to 1, none of them empty."
            )
        if not np.isfinite([taken.min(), taken.max()]).all():
            raise RegionError(
                "An array in crops contains values that are not finite (NaN or infinity); give values from 0 to 1."
            )
    return crops


def _check_fits(region: Region, clip: VideoInfo) -> None:
    name, frame = f"Region {region.label!r}", clip.size
    if clip.path is None:  # the count of a file is an estimate until the file is read
        check_ends([region], clip.frames)
    window = np.array([region.size.width, region.size.height])
    limits = np.array([frame.width, frame.height])
    if (window > limits).any():
        raise RegionError(
            f"{name} has a {region.size}-pixel window, but the frame is only {frame}; scale the region to the size of "
            "the clip."
        )
    if (region.path <= -window).any() or (region.path >= limits).any():
        raise RegionError(
            f"{name} has a window that lies outside the {frame}-pixel frame; scale the region to the size of the clip."
        )


def _several(given: Any, name: str, kind: type, word: str) -> tuple[Any, ...]:
    """The given values as a tuple, if all are of type ``kind``."""
    values = tuple(given) if isinstance(given, Sequence | tuple) and not isinstance(given, str | bytes) else None
    if values is None or not all(isinstance(value, kind) for value in values):
        raise RegionError(f"{name} must be a list in which each item is {word}, not {shown(given)}.")
    return values


def _of(given: Any, name: str) -> Any:
    """The attribute with this name, or None if the object has none or raises an error."""
    try:
        return getattr(given, name, None)
    except Exception:  # noqa: BLE001 - an object of a caller's own, asked whether it is an engine
        return None
