"""ControlNet on a segment: the wrapper that a SEG carries to its detailer."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from redetail.comfy.tracked import TrackedSeg
from redetail.errors import InputError
from redetail.imaging import resample
from redetail.region import Box, Size

Conditioning = list[list[Any]]


@dataclass(frozen=True, eq=False, kw_only=True)
class ControlNetWrapper:
    """A ControlNet for one segment, and the wrapper before it.

    ``preprocessor``: another pack's SEGS_PREPROCESSOR, applied to the crop; ``control_image``: hints for the whole
    frame (N, H, W, 3), cut by ``crop_region`` of a picture of ``original_size`` (height, width); with neither the crop
    itself is the hint. Satisfies what every detailer asks of SEG.control_net_wrapper.
    """

    control_net: Any
    strength: float
    preprocessor: Any = None
    prev_control_net: Any = None
    start_percent: float = 0.0
    end_percent: float = 1.0
    vae: Any = None
    hint: Tensor | None = None

    @property
    def control_image(self) -> Tensor | None:
        """The hint that was given, cut to the segment; previews show it."""
        return self.hint

    def apply(
        self, positive: Any, negative: Any, image: Any, mask: Any = None, use_acn: bool = False
    ) -> tuple[Conditioning, Conditioning, list[Tensor]]:
        """Conditioning with this ControlNet and those before it, and the hint images in that order.

        ``image``: the crop (F, h, w, 3) at the size that is sampled. ``use_acn``: many frames in context windows, where
        each window needs its own hints: Advanced-ControlNet's form of the ControlNet is used where it is installed.
        """
        images: list[Tensor] = []
        if self.prev_control_net is not None:
            positive, negative, images = self.prev_control_net.apply(positive, negative, image, mask, use_acn=use_acn)
        hint = self._hint(image, mask)
        control = _advanced(self.control_net) if use_acn else self.control_net
        with_control = _adder(
            control, hint.movedim(-1, 1), self.strength, self.start_percent, self.end_percent, self.vae
        )
        return with_control(positive), with_control(negative), [*images, hint]

    def doit_ipadapter(self, model: Any) -> tuple[Any, list[Any]]:
        """The model with the IPAdapters of the wrappers before this one; it has none itself."""
        if hasattr(self.prev_control_net, "doit_ipadapter"):
            adapted: tuple[Any, list[Any]] = self.prev_control_net.doit_ipadapter(model)
            return adapted
        return model, []

    def _hint(self, image: Any, mask: Any) -> Tensor:
        crop = torch.as_tensor(image)
        if self.hint is not None:
            return _resized(self.hint, Size(crop.shape[2], crop.shape[1]))
        return torch.as_tensor(crop if self.preprocessor is None else self.preprocessor.apply(crop, mask))


def cut_hint(image: Any, header: tuple[int, int], crop_region: Any) -> Tensor:
    """The part of hint images (N, H, W, C) under a crop region of a picture of size ``header`` (height, width)."""
    frames = torch.as_tensor(image)
    if frames.ndim != 4 or 0 in frames.shape:
        raise InputError(
            f"control_image must be an IMAGE (frames, height, width, 3); its shape is {tuple(frames.shape)}."
        )
    kx, ky = frames.shape[2] / header[1], frames.shape[1] / header[0]
    x1, y1, x2, y2 = crop_region
    window = Box(x1 * kx, y1 * ky, x2 * kx, y2 * ky)
    size = Size(max(1, round(window.width)), max(1, round(window.height)))
    return _resampled(frames, window, size)


def followed_hint(image: Any, segment: TrackedSeg) -> Tensor:
    """The part of hint images (1 or clip_frames, H, W, C) under the moving window of a subject, one for each frame.

    Raises :class:`~redetail.errors.InputError` for another number.
    """
    frames = torch.as_tensor(image)
    if frames.ndim != 4 or len(frames) not in (1, segment.clip_frames):
        raise InputError(
            f"control_image must be an IMAGE of one frame or of {segment.clip_frames} frames, the length of the clip "
            f"in which {segment.label!r} was tracked; its shape is {tuple(frames.shape)}."
        )
    region = segment.region
    kx, ky = frames.shape[2] / segment.frame.width, frames.shape[1] / segment.frame.height
    size = Size(max(1, round(region.size.width * kx)), max(1, round(region.size.height * ky)))
    cuts = []
    for index in range(len(region)):
        one = frames[region.start + index if len(frames) > 1 else 0][None]
        cuts.append(_resampled(one, region.window(index).scaled(kx, ky), size))
    return torch.cat(cuts)


def _resized(frames: Tensor, size: Size) -> Tensor:
    height, width = frames.shape[1:3]
    return (
        frames if (width, height) == (size.width, size.height) else _resampled(frames, Box(0, 0, width, height), size)
    )


def _resampled(frames: Tensor, window: Box, size: Size) -> Tensor:
    pictures = np.empty((len(frames), *size.shape, 3), np.float32)
    for index, frame in enumerate(frames):
        pictures[index] = resample.crop(frame[..., :3].float().cpu().numpy(), window, size)
    return torch.from_numpy(pictures)


def _adder(
    control: Any, hint: Tensor, strength: float, start: float, end: float, vae: Any
) -> Callable[[Any], Conditioning]:
    """Adds one ControlNet to conditioning; equal chains share one copy, so that its network runs once for both."""
    copies: dict[int, Any] = {}

    def added(conditions: Any) -> Conditioning:
        result = []
        for tensor, details, *rest in conditions:
            previous = details.get("control")
            if id(previous) not in copies:
                copy = control.copy().set_cond_hint(
                    hint, strength, (start, end), **({} if vae is None else {"vae": vae})
                )
                copy.set_previous_controlnet(previous)
                copies[id(previous)] = copy
            changed = {**details, "control": copies[id(previous)], "control_apply_to_uncond": False}
            result.append([tensor, changed, *rest])
        return result

    return added if strength else lambda conditions: [list(condition) for condition in conditions]


def _advanced(control_net: Any) -> Any:
    """The ControlNet as Advanced-ControlNet's own, which knows context windows; itself where that is not installed."""
    for module in list(sys.modules.values()):
        convert = vars(module).get("convert_to_advanced") if hasattr(module, "__dict__") else None
        if convert is not None and "adv_control" in getattr(convert, "__module__", ""):
            return convert(control_net)
    return control_net
