"""Detectors of other packs, accepted by what they can do.

A BBOX_DETECTOR or SEGM_DETECTOR has ``detect(image, threshold, dilation, crop_factor, drop_size, detailer_hook=None)``,
which answers with SEGS; a SAM_MODEL has a ``sam_wrapper`` with ``predict(pixels, points, labels, box, threshold)``,
which answers with a list of masks, and usually ``prepare_device()`` and ``release_device()``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from redetail.comfy.convert import image_frames, plain_seg, segs_from
from redetail.comfy.labels import matches
from redetail.comfy.mask_edit import dilated_seg
from redetail.comfy.mask_segs import Cutting, combined_mask, dilated, follow_segs, masked, segs_of_masks
from redetail.errors import InputError, RegionError
from redetail.imaging.masks import Mask, normalise_mask
from redetail.region import Size
from redetail.segs import Seg, Segs

PIVOT, NEIGHBOURS, APART = MASKING_MODES = ("Pivot SEGS", "Combine neighboring frames", "Don't combine")
UNITED, FIRST = SEGS_PIVOTS = ("Combined mask", "1st frame mask")


@dataclass(frozen=True)
class Search:
    """What to look for in an image: boxes first, then, with a second model, what of the boxes is the subject.

    ``threshold``, ``dilation``, ``crop_factor`` and ``drop_size`` go to the detectors as they are; the ``sub_`` values
    to the second model: ``segm_detector``, or ``sam_model``, which is asked at the middle of every box and is given the
    box wider by ``sub_bbox_expansion`` pixels on each side.
    """

    bbox_detector: Any
    threshold: float
    dilation: int
    crop_factor: float
    drop_size: int
    sub_threshold: float = 0.5
    sub_dilation: int = 0
    sub_bbox_expansion: int = 0
    sam_model: Any = None
    segm_detector: Any = None

    def boxes(self, image: Tensor, **extra: Any) -> list[Any]:
        """The first detector's segments in one image (1, H, W, C)."""
        values = (self.threshold, self.dilation, self.crop_factor, self.drop_size)
        return detected(self.bbox_detector, "bbox_detector", image, *values, **extra)

    def parts(self, image: Tensor, **extra: Any) -> list[Any]:
        """The second detector's segments in one image (1, H, W, C)."""
        values = (self.sub_threshold, self.sub_dilation, self.crop_factor, self.drop_size)
        return detected(self.segm_detector, "segm_detector_opt", image, *values, **extra)

    def refined(self, image: Tensor, **extra: Any) -> list[Seg]:
        """The boxes in one image (1, H, W, C), their masks cut down to what the second model sees in them."""
        segments = self.boxes(image, **extra)
        shape = (image.shape[1], image.shape[2])
        if self.sam_model is not None:
            return masked(segments, self._sam_mask(image, segments))
        if self.segm_detector is not None:
            return masked(segments, combined_mask(shape, self.parts(image, **extra))[0])
        return [plain_seg(segment) for segment in segments]

    def _sam_mask(self, image: Tensor, segments: Sequence[Any]) -> Mask:
        """All that the second model sees at the middle of the boxes, (H, W)."""
        wrapper = getattr(self.sam_model, "sam_wrapper", self.sam_model)
        if not callable(getattr(wrapper, "predict", None)):
            raise InputError("sam_model_opt is not a SAM_MODEL (it has no predict method); connect a SAM model loader.")
        pixels = (image[0, ..., :3].float().clamp(0, 1) * 255).to(torch.uint8).numpy()
        canvas = np.zeros(pixels.shape[:2], np.float32)
        _call(wrapper, "prepare_device")
        try:
            for segment in segments:
                for mask in self._seen(wrapper, pixels, segment.bbox):
                    np.maximum(canvas, _flat(mask, canvas), out=canvas)
        finally:
            _call(wrapper, "release_device")
        return dilated(canvas, self.sub_dilation)

    def _seen(self, wrapper: Any, pixels: Any, bbox: Sequence[float]) -> Sequence[Any]:
        height, width = pixels.shape[:2]
        x1, y1, x2, y2 = (float(side) for side in bbox)
        more = self.sub_bbox_expansion
        box = [max(0, int(x1 - more)), max(0, int(y1 - more)), min(width, int(x2 + more)), min(height, int(y2 + more))]
        return wrapper.predict(pixels, [((x1 + x2) / 2, (y1 + y2) / 2)], [1], box, self.sub_threshold) or ()


def detected(detector: Any, name: str, image: Tensor, *values: Any, **extra: Any) -> list[Any]:
    """The segments that anyone's detector finds in one image (1, H, W, C).

    Raises :class:`~redetail.errors.InputError` naming the input if it cannot detect, answers with something else
    than SEGS, or with segments of a picture of another size.
    """
    if not callable(getattr(detector, "detect", None)):
        raise InputError(f"{name} is not a detector (it has no detect method); connect a node that loads one.")
    (height, width), segments = segs_from(detector.detect(image, *values, **extra), f"The result of {name}")
    if segments and (height, width) != tuple(image.shape[1:3]):
        raise InputError(
            f"{name} was given a {image.shape[2]}x{image.shape[1]} image but returned a result for a {width}x{height} "
            "image; use a detector that keeps the size."
        )
    return segments


def one_image(image: Any) -> Tensor:
    """The image of a detector for single images."""
    frames = image_frames(image, "image")
    if len(frames) != 1:
        raise InputError(
            f"The image input has {len(frames)} frames, but this detector takes only one; use Simple Detector for "
            "AnimateDiff (SEGS) for a clip, or pick one frame."
        )
    return frames


def simple_segs(search: Search, image: Any, post_dilation: int, hook: Any) -> Segs:
    """The segments of one image, their masks grown by ``post_dilation`` pixels at the end."""
    frame = one_image(image)
    own = getattr(search.segm_detector, "bbox_detector", None)
    if own is not None and own is search.bbox_detector and search.sam_model is None:
        # One model behind both inputs: its masks are the answer, and looking for the boxes would be wasted.
        segments = search.parts(frame, detailer_hook=hook)
    else:
        segments = search.refined(frame, detailer_hook=hook)
    grown = [dilated_seg(segment, post_dilation, number) for number, segment in enumerate(segments)]
    return (frame.shape[1], frame.shape[2]), grown


def clip_segs(search: Search, images: Any, mode: str, pivot: str) -> Segs:
    """The segments of a clip: what is found in each frame, joined as ``mode`` and ``pivot`` say.

    The pivot is the united mask of all frames, in connected parts without holes or soft edges, or the segments of the
    first frame. Pivot SEGS: the pivot's masks hold for all frames; the other modes give every frame its own mask within
    the pivot, alone or united with that of the frame before.
    """
    for name, value, known in (("masking_mode", mode, MASKING_MODES), ("segs_pivot", pivot, SEGS_PIVOTS)):
        if value not in known:
            raise InputError(f"{name} is {value!r}; choose one of: {', '.join(known)}.")
    frames = image_frames(images, "image_frames")
    header = (frames.shape[1], frames.shape[2])
    masks = np.zeros((len(frames), *header), np.float32)
    first: list[Seg] = []
    for index in _ticking(len(frames)):
        segments = search.refined(frames[index : index + 1])
        first = segments if index == 0 else first
        masks[index] = combined_mask(header, segments).max(axis=0)
    if pivot == FIRST:
        # A picture of the first frame would stand for all of them.
        pivots = [seg._replace(cropped_image=None) for seg in first]
    else:
        united = masks.max(axis=0, keepdims=True)
        pivots = segs_of_masks(united, Cutting(search.crop_factor, search.drop_size, contour_fill=True))
    if mode == PIVOT:
        return header, pivots
    return header, follow_segs(pivots, with_frame_before(masks) if mode == NEIGHBOURS else masks)


def with_frame_before(masks: Mask) -> Mask:
    """Masks (F, H, W), each united with that of the frame before."""
    return np.concatenate([masks[:1], np.maximum(masks[1:], masks[:-1])])


def with_labels(segments: Sequence[Any], labels: str) -> list[Seg]:
    """The segments whose label is among ``labels``, names separated by commas; all of them for ``all`` or nothing.

    ``eyes``, ``eyebrows`` and ``pupils`` stand for the left and the right one.
    """
    wanted = {label.strip() for label in labels.split(",")}
    every = wanted == {""} or "all" in {label.lower() for label in wanted}
    return [plain_seg(segment) for segment in segments if every or matches(segment.label, wanted)]


def _ticking(count: int) -> Iterator[int]:
    """0 to ``count``, with ComfyUI's bar moving on, and ComfyUI's own exception where its user pressed stop.

    Where comfy is not there, only the numbers.
    """
    try:
        from comfy.model_management import throw_exception_if_processing_interrupted as check
        from comfy.utils import ProgressBar
    except ImportError:
        yield from range(count)
        return
    bar = ProgressBar(count)
    for index in range(count):
        check()
        yield index
        bar.update(1)


def _flat(mask: Any, canvas: Mask) -> Mask:
    """One mask of a model as (H, W) 0..1."""
    array = np.asarray(mask.detach().cpu() if isinstance(mask, Tensor) else mask)
    array = array.reshape(array.shape[-2:]) if array.size == canvas.size else array
    try:
        return normalise_mask(array, Size(canvas.shape[1], canvas.shape[0]))
    except RegionError as error:
        raise RegionError(f"sam_model_opt returned a mask that cannot be used: {error}") from error


def _call(thing: Any, method: str) -> None:
    """Call a method that not all of these objects have."""
    found = getattr(thing, method, None)
    if callable(found):
        found()
