"""Detectors in both directions: ours as a BBOX_DETECTOR for any pack, and any pack's as one that can be tracked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from redetail.comfy.convert import image_frames, segs_from
from redetail.detection import Detector, load_detector
from redetail.errors import InputError
from redetail.geometry.crop import crop_region
from redetail.imaging.resample import to_float
from redetail.region import Box, Detection, Size
from redetail.segs import Seg, Segs

RGB = NDArray[np.uint8] | NDArray[np.uint16]
_LEAST = 0.05  # confidence asked of another pack's detector: the tracker can use uncertain detections


class FaceBBoxDetector:
    """The bundled face detector with the methods that detector nodes call. ``detector`` is the one behind it."""

    def __init__(self, *, min_size: float, working_size: int) -> None:
        self.detector: Detector = load_detector("face", threshold=0.0, min_size=min_size, working_size=working_size)

    def setAux(self, x: Any) -> None:
        """Other detectors take a class name here; this one knows nothing but faces."""

    def detect(
        self,
        image: Any,
        threshold: float,
        dilation: int,
        crop_factor: float,
        drop_size: int = 1,
        detailer_hook: Any = None,
    ) -> Segs:
        """The faces of one image (1, H, W, 3) as SEGS, most confident first.

        ``dilation`` grows the mask (or, negative, shrinks it) by pixels; the bbox stays. Faces with a side of at most
        ``drop_size`` pixels are left out.
        """
        picture = _one_picture(image)
        size = Size(picture.shape[1], picture.shape[0])
        found = [
            _seg(face, size, dilation, crop_factor)
            for face in self._faces(picture, threshold)
            if min(face.box.width, face.box.height) > drop_size
        ]
        segs: Segs = (size.shape, found)
        if hasattr(detailer_hook, "post_detection"):
            segs = detailer_hook.post_detection(segs)
        return segs

    def detect_combined(self, image: Any, threshold: float, dilation: int) -> Tensor:
        """One mask (H, W) float32 of all faces of one image; zero if there is none."""
        picture = _one_picture(image)
        size = Size(picture.shape[1], picture.shape[0])
        mask = np.zeros(size.shape, np.float32)
        for face in self._faces(picture, threshold):
            _fill(mask, _grown(face.box, dilation, size))
        return torch.from_numpy(mask)

    def _faces(self, picture: RGB, threshold: float) -> list[Detection]:
        return [face for face in self.detector.detect(picture) if face.confidence >= threshold]


class ForeignDetector:
    """Any BBOX_DETECTOR as a :class:`~redetail.detection.Detector`."""

    def __init__(self, detector: Any) -> None:
        if not callable(getattr(detector, "detect", None)):
            raise InputError(f"bbox_detector is not a BBOX_DETECTOR but {type(detector).__name__}; connect a detector.")
        self._detector = detector

    def detect(self, frame: RGB) -> list[Detection]:
        """All subjects of a frame (H, W, 3), most confident first."""
        image = torch.from_numpy(to_float(frame))[None]
        _, segments = segs_from(self._detector.detect(image, _LEAST, 0, 1.0, 1), "The result of bbox_detector")
        found = [_detection(segment) for segment in segments]
        return sorted(found, key=lambda detection: -detection.confidence)


def detector_of(value: Any) -> Detector:
    """The detector behind a BBOX_DETECTOR; a name is a bundled one, None the one of faces.

    Raises :class:`~redetail.errors.UnknownNameError` for a name that does not exist.
    """
    if value is None or isinstance(value, str):
        return load_detector(value or "face")
    return value.detector if isinstance(value, FaceBBoxDetector) else ForeignDetector(value)


class SelectedDetector:
    """Another detector, without subjects that are too small, and with grown boxes.

    ``grow`` is added at each side, in pixels, or as a share of that side of the box.
    """

    def __init__(self, detector: Detector, *, min_size: float, grow: float, relative: bool) -> None:
        self._detector, self._min_size, self._grow, self._relative = detector, min_size, grow, relative

    def detect(self, frame: RGB) -> list[Detection]:
        """The chosen subjects of a frame."""
        size = Size(frame.shape[1], frame.shape[0])
        chosen = []
        for found in self._detector.detect(frame):
            box = found.box.clipped(size)
            if box is None or min(box.width, box.height) < self._min_size:
                continue
            x, y = (self._grow * (side if self._relative else 1) for side in (box.width, box.height))
            chosen.append(replace(found, box=_grown_box(box, x, y).clipped(size) or box))
        return chosen


def _grown_box(box: Box, x: float, y: float) -> Box:
    """A box with x and y more at each side; one that would shrink to nothing keeps its middle pixel."""
    (cx, cy), w, h = box.center, max(0.5, box.width / 2 + x), max(0.5, box.height / 2 + y)
    return Box(cx - w, cy - h, cx + w, cy + h)


def _one_picture(image: Any) -> NDArray[np.uint8]:
    """The only picture of an IMAGE as (H, W, 3) uint8."""
    frames = image_frames(image, "image")
    if len(frames) != 1:
        raise InputError(
            f"The face detector takes one image at a time, but its image input has {len(frames)}; connect the frames "
            "of a clip to Redetail Track."
        )
    picture = frames[0, ..., :3].float().nan_to_num().clamp(0, 1)
    values: NDArray[np.uint8] = (picture * 255).round().to(torch.uint8).numpy()
    return values


def _seg(face: Detection, size: Size, dilation: int, crop_factor: float) -> Seg:
    window = crop_region(size, face.box, crop_factor)
    x1, y1, x2, y2 = (int(side) for side in window.as_tuple())
    whole = np.zeros(size.shape, np.float32)
    _fill(whole, _grown(face.box, dilation, size))
    return Seg(
        None, whole[y1:y2, x1:x2].copy(), face.confidence, (x1, y1, x2, y2), face.box.as_tuple(), face.label, None
    )


def _grown(box: Box, pixels: int, size: Size) -> Box:
    return _grown_box(box, pixels, pixels).clipped(size) or box


def _fill(mask: NDArray[np.float32], box: Box) -> None:
    x1, y1, x2, y2 = (round(side) for side in box.as_tuple())
    mask[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)] = 1.0


def _detection(segment: Any) -> Detection:
    """What a SEG of a single frame says was found; confidences beyond 0..1 and arrays of one number occur."""
    box = Box(*(float(side) for side in segment.bbox))
    confidence = float(np.asarray(segment.confidence).reshape(-1)[0])
    return Detection(box, min(1.0, max(0.0, confidence)), str(segment.label))
