"""Conditioning of the whole picture, cut to a crop of it: masks and hint images lie on the picture, not on the crop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from redetail.region import Box, Size

Cut = Callable[[Tensor], Tensor]
"""A picture or mask (..., H, W) of the whole frame to the part under the crop (..., h, w)."""


def cropped_conditions(conditions: Any, window: Box, frame: Size) -> list[list[Any]]:
    """A CONDITIONING for the crop under ``window`` of frames of size ``frame``; the one given is not changed."""
    cut = _cutter(window, frame)
    return [[tensor, _cropped(details, cut), *rest] for tensor, details, *rest in conditions]


def followed_conditions(
    conditions: Any, windows: Sequence[Box], frame: Size, first: int, count: int
) -> list[list[Any]]:
    """A CONDITIONING for crops whose window moves: masks and hints become one for each of ``windows``.

    These belong to the frames from ``first`` of a clip of ``count`` frames; a stack of as many masks or hints as the
    clip has frames is taken frame by frame. Where the windows are all the same, as :func:`cropped_conditions`.
    """
    stays = all(window == windows[0] for window in windows)

    def cut(picture: Tensor) -> Tensor:
        for_each = picture.ndim > 2 and len(picture) == count and count > 1
        if stays:
            part = picture[first : first + len(windows)] if for_each else picture
            return _cutter(windows[0], frame)(part)
        stack = picture if picture.ndim > 2 else picture[None]
        cuts = [_fixed_cut(stack[first + i if for_each else 0], window, frame) for i, window in enumerate(windows)]
        return torch.stack(cuts)

    return [[tensor, _cropped(details, cut), *rest] for tensor, details, *rest in conditions]


def _fixed_cut(picture: Tensor, window: Box, frame: Size) -> Tensor:
    """The part (..., h, w) under a window; windows of one size give cuts of one size, wherever they lie."""
    height, width = picture.shape[-2:]
    kx, ky = width / frame.width, height / frame.height
    w, h = (max(1, round(side)) for side in (window.width * kx, window.height * ky))
    x = max(0, min(round(window.x1 * kx), width - w))
    y = max(0, min(round(window.y1 * ky), height - h))
    return picture[..., y : y + h, x : x + w]


def _cropped(details: dict[str, Any], cut: Cut) -> dict[str, Any]:
    changed = dict(details)
    if isinstance(details.get("mask"), Tensor):
        changed["mask"] = cut(details["mask"])
    if details.get("control") is not None:
        changed["control"] = _cropped_control(details["control"], cut)
    return changed


def _cropped_control(control: Any, cut: Cut) -> Any:
    """The same chain of ControlNets with their hints cut; where one cannot be copied the chain stays as it is."""
    if not hasattr(control, "copy") or not isinstance(getattr(control, "cond_hint_original", None), Tensor):
        return control
    copied = control.copy()
    copied.cond_hint_original = cut(control.cond_hint_original)
    if getattr(control, "previous_controlnet", None) is not None:
        copied.set_previous_controlnet(_cropped_control(control.previous_controlnet, cut))
    return copied


def _cutter(window: Box, frame: Size) -> Cut:
    """Cuts by whole pixels; a picture of another size than the frames is cut at its own scale."""

    def cut(picture: Tensor) -> Tensor:
        height, width = picture.shape[-2:]
        box = window.scaled(width / frame.width, height / frame.height)
        x1, y1 = min(int(box.x1), width - 1), min(int(box.y1), height - 1)
        x2, y2 = max(x1 + 1, min(width, round(box.x2))), max(y1 + 1, min(height, round(box.y2)))
        return torch.clone(picture[..., y1:y2, x1:x2])

    return cut
