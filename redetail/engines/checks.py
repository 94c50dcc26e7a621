"""What every engine asks of its input, in one place, so that all engines say the same."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from redetail.engines.base import Capabilities, Pixels
from redetail.engines.files import open_as
from redetail.engines.prompt import key_frames, prompts_of
from redetail.engines.spec import WeightedFile
from redetail.errors import InputError, RegionError, SettingsError, UnknownNameError
from redetail.geometry.context import ContextWindow, context_windows
from redetail.settings import Settings

# Resampling with a sharp kernel overshoots 0..1 a little at edges; beyond this the frames are on another scale.
_OVERSHOOT = 0.5


def check_request(crops: Pixels, mask: Pixels, settings: Settings, capabilities: Capabilities) -> None:
    """Refuse what an engine with these capabilities cannot enhance.

    Raises :class:`~redetail.errors.InputError` for crops, :class:`~redetail.errors.RegionError` for masks, and what
    :func:`check_settings` raises.
    """
    check_crops(crops, capabilities.size_multiple)
    check_mask(mask, crops.shape[:3])
    check_settings(settings, capabilities)


def check_settings(settings: Settings, capabilities: Capabilities) -> None:
    """Refuse settings that an engine with these capabilities does not have.

    Raises :class:`~redetail.errors.UnknownNameError` for a sampler or scheduler,
    :class:`~redetail.errors.SettingsError` for LoRA where the model takes none and prompts that give a frame twice, and
    :class:`~redetail.errors.ModelError` for a LoRA file that is none.
    """
    if settings.sampler not in capabilities.samplers:
        raise UnknownNameError("sampler", settings.sampler, capabilities.samplers)
    if settings.scheduler not in capabilities.schedulers:
        raise UnknownNameError("scheduler", settings.scheduler, capabilities.schedulers)
    if settings.loras and not capabilities.uses_loras:
        raise SettingsError(
            f"The model {capabilities.name} takes no LoRA such as {settings.loras[0]}; leave it out, or give a Stable "
            "Diffusion checkpoint."
        )
    for lora in map(WeightedFile.parse, settings.loras):
        if lora.strength:
            open_as(lora.path, ("lora",), "a LoRA")
    for prompt in prompts_of(settings).values():
        key_frames(prompt)


def check_crops(crops: Pixels, multiple: int) -> None:
    """Crops must be (F, h, w, 3) floating point 0..1, F >= 1, sides multiples of ``multiple``, all finite."""
    if crops.ndim != 4 or crops.shape[-1] != 3 or 0 in crops.shape:
        raise InputError(f"Crops must have the shape (frames, height, width, 3), not {crops.shape}.")
    if crops.dtype.kind != "f":
        raise InputError(f"Crops must be floating point numbers from 0 to 1, not {crops.dtype}.")
    height, width = crops.shape[1:3]
    if height % multiple or width % multiple:
        raise InputError(
            f"The crops are {width}x{height} pixels; this engine needs sides that are multiples of {multiple}."
        )
    for index, crop in enumerate(crops):  # one by one: the crops may be a file mapped into memory
        low, high = _range(crop)
        if not (np.isfinite(low) and np.isfinite(high)):
            raise InputError(f"Crop {index} holds values that are not finite numbers; pixels must lie in 0..1.")
        if low < -_OVERSHOOT or high > 1 + _OVERSHOOT:
            raise InputError(f"Crop {index} holds values from {low:g} to {high:g}; pixels must lie in 0..1.")


def check_mask(mask: Pixels, shape: tuple[int, ...]) -> None:
    """A mask must be (1, h, w) or (F, h, w) floating point 0..1 for crops of ``shape`` (F, h, w)."""
    frames, height, width = shape
    if mask.ndim != 3 or mask.shape[0] not in (1, frames) or mask.shape[1:] != (height, width):
        raise RegionError(
            f"The mask has the shape {mask.shape}; {frames} crops of {width}x{height} pixels need "
            f"(1, {height}, {width}) or ({frames}, {height}, {width})."
        )
    if mask.dtype.kind != "f":
        raise RegionError(f"Masks must be floating point numbers from 0 to 1, not {mask.dtype}.")
    for index, one in enumerate(mask):
        low, high = _range(one)
        if not (low >= 0 and high <= 1):  # also true of NaN
            raise RegionError(f"Mask {index} holds values from {low:g} to {high:g}; a mask lies in 0..1.")


def check_hints(hints: Mapping[str, Pixels], shape: tuple[int, ...]) -> None:
    """Raise :class:`~redetail.errors.InputError` for hints that are not as large and as many as crops of ``shape``."""
    for name, hint in hints.items():
        if hint.shape != shape or hint.dtype.kind != "f":
            raise InputError(
                f"The hints {name!r} are {hint.shape} of {hint.dtype}; {shape[0]} crops of {shape[2]}x{shape[1]} "
                f"pixels need floating point numbers of shape {shape}."
            )


def refuse_hints(hints: Mapping[str, Pixels] | None) -> None:
    """Raise :class:`~redetail.errors.SettingsError` where an engine without ControlNets is given hints."""
    if hints:
        raise SettingsError(
            f"The hints {', '.join(map(repr, hints))} are of no use: this engine has no ControlNet; leave them out."
        )


def context_windows_for(
    frames: int, settings: Settings, default: int | None, limit: int | None = None, *, stride: int = 1
) -> list[ContextWindow]:
    """The context windows of a segment: as long as the settings ask for, else ``default`` (None: all frames at once).

    ``stride``: that of the settings in the first part of the sampling, 1 afterwards.

    Raises :class:`~redetail.errors.SettingsError` where the motion layers reach no further than ``limit``, and for
    an overlap that is no shorter than the windows.
    """
    length = settings.context_length or default
    if length is None:
        return context_windows(frames, max(frames, settings.context_overlap + 1), settings.context_overlap)
    if limit is not None and length > limit:
        raise SettingsError(
            f"context-length is {length}, but this model's motion layers reach {limit} frames; "
            f"use {limit} or less (longer clips are sampled in overlapping windows)."
        )
    return context_windows(
        frames,
        length,
        settings.context_overlap,
        stride=stride,
        loop=settings.context_loop,
        blend=settings.context_blend,
    )


def _range(values: NDArray[np.floating]) -> tuple[float, float]:
    """Smallest and largest value; NaN where one is NaN."""
    return float(values.min()), float(values.max())
