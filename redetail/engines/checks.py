"""Checks the input of all engines in one place, so that all engines give the same messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from redetail.engines.architectures import families_with_preset
from redetail.engines.base import Capabilities, CropSource, Pixels, Request
from redetail.engines.device import Placement
from redetail.engines.files import open_as
from redetail.engines.prompt import key_frames, prompts_of, weighted_words
from redetail.engines.spec import WeightedFile
from redetail.errors import InputError, ModelError, RegionError, SettingsError, UnknownNameError
from redetail.geometry.context import ContextWindow, context_windows
from redetail.geometry.latent_grid import IMAGE, LatentGrid
from redetail.sampling.schedulers import find_scheduler
from redetail.sampling.typed import is_typed
from redetail.settings import Settings

# Resampling with a sharp kernel overshoots 0..1 slightly at edges; beyond this, the frames must be on another scale.
_OVERSHOOT = 0.5


def checked(request: Request, capabilities: Capabilities) -> Request:
    """The same request, with every range that is read checked.

    Immediately raises what :func:`check_settings` raises, and :class:`~redetail.errors.InputError` for no crops or for
    crops of a size that the engine does not take. Reading raises InputError for crops and hints, and
    :class:`~redetail.errors.RegionError` for masks, that are not as described.
    """
    check_settings(request.settings, capabilities)
    check_size(request.crops, capabilities.size_multiple)

    def mask(start: int, stop: int) -> Pixels:
        read = request.mask(start, stop)
        check_mask(read, (stop - start, *request.crops.size.shape), start)
        return read

    hints = {name: _checked_hint(name, hint, request.crops.shape) for name, hint in request.hints.items()}
    return replace(request, crops=_checked_crops(request.crops), mask=mask, hints=hints)


def check_preset(requested: Mapping[str, Any], capabilities: Capabilities) -> None:
    """Raise :class:`~redetail.errors.SettingsError` for a ``preset`` that is for models of another family."""
    preset = requested.get("preset")
    if preset is not None and preset not in capabilities.presets:
        raise SettingsError(
            f"The preset {preset} is for {' and '.join(families_with_preset(preset))}; leave it out, because "
            f"{capabilities.name} has its own settings."
        )


def check_settings(settings: Settings, capabilities: Capabilities) -> None:
    """Refuse settings that an engine with these capabilities does not have.

    Raises :class:`~redetail.errors.UnknownNameError` for an unknown sampler or scheduler,
    :class:`~redetail.errors.SettingsError` for LoRA or a shift if the model takes none, and for prompts that give a
    frame twice, and :class:`~redetail.errors.ModelError` for a file that is not a LoRA.
    """
    if settings.sampler not in capabilities.samplers:
        raise UnknownNameError("sampler", settings.sampler, capabilities.samplers)
    check_scheduler(settings.scheduler, capabilities)
    if settings.loras and not capabilities.uses_loras:
        raise SettingsError(
            f"The model {capabilities.name} does not support LoRA files such as {settings.loras[0]}; leave the LoRA "
            "out, or give a Stable Diffusion checkpoint."
        )
    if settings.shift and not capabilities.uses_shift:
        raise SettingsError(
            f"shift is {settings.shift:g}, but the model {capabilities.name} has no shift; leave shift out, or "
            "use a video transformer such as Wan."
        )
    if settings.strength and not capabilities.uses_strength:
        raise SettingsError(
            f"strength is {settings.strength:g}, but {capabilities.name} does not state its noise levels; give a "
            "denoise value instead."
        )
    if settings.cancel_vae and not capabilities.has_vae:
        raise SettingsError(f"The model {capabilities.name} has no VAE; leave out the setting cancel-vae.")
    for lora in map(WeightedFile.parse, settings.loras):
        if lora.strength:
            open_as(lora.path, ("lora",), "a LoRA")
    for prompt in prompts_of(settings).values():
        key_frames(prompt)


def prompt_notes(settings: Settings, capabilities: Capabilities) -> tuple[str, ...]:
    """The notes about a prompt that the model does not read, or about words in it that mean nothing to the model."""
    given = " ".join((settings.prompt, settings.negative))
    if not given.strip():
        return ()
    if not capabilities.uses_prompt:
        return (f"The model {capabilities.name} does not use a prompt; yours is ignored.",)
    unknown = [word for word, _ in weighted_words(given) if word not in capabilities.prompt_words]
    if not capabilities.prompt_words or not unknown:
        return ()
    left_out = " ".join(unknown[:6]) + (" ..." if len(unknown) > 6 else "")
    known = f"{', '.join(capabilities.prompt_words[:-1])} and {capabilities.prompt_words[-1]}"
    return (f"The model {capabilities.name} knows only the words {known}; it ignores {left_out!r}.",)


def check_scheduler(name: str, capabilities: Capabilities) -> None:
    """Refuse a scheduler that is not one of the engine's, GITS with another coefficient, or sigmas as text."""
    if name in capabilities.schedulers:
        return
    if not is_typed(name) and not name.startswith("GITS["):
        raise UnknownNameError("scheduler", name, capabilities.schedulers)
    find_scheduler(name)


def check_size(crops: CropSource, multiple: int) -> None:
    """Raise :class:`~redetail.errors.InputError` unless there are crops with sides that are multiples of
    ``multiple``."""
    if crops.frames < 1:
        raise InputError("There are no crops to enhance; give at least one frame.")
    if crops.size.height % multiple or crops.size.width % multiple:
        raise InputError(
            f"The crops are {crops.size} pixels; this engine needs sides that are multiples of {multiple}."
        )


def check_crops(crops: Pixels, shape: tuple[int, ...], first: int = 0) -> None:
    """Crops must have this ``shape`` (F, h, w, 3) and be floating point 0..1, all finite.

    ``first``: number of the first crop, for the message of :class:`~redetail.errors.InputError`.
    """
    if crops.shape != shape:
        raise InputError(f"Crops must have the shape {shape} (frames, height, width, 3), not {crops.shape}.")
    if crops.dtype.kind != "f":
        raise InputError(f"Crops must be floating point numbers from 0 to 1, not {crops.dtype}.")
    for index, crop in enumerate(crops, first):  # one by one: the crops can be a file mapped into memory
        low, high = _range(crop)
        if not (np.isfinite(low) and np.isfinite(high)):
            raise InputError(f"Crop {index} has values that are not finite numbers; pixels must be between 0 and 1.")
        if low < -_OVERSHOOT or high > 1 + _OVERSHOOT:
            raise InputError(f"Crop {index} has values from {low:g} to {high:g}; pixels must be between 0 and 1.")


def check_mask(mask: Pixels, shape: tuple[int, ...], first: int = 0) -> None:
    """Masks must have this ``shape`` (F, h, w), or be a single mask, and be floating point 0..1.

    ``first``: number of the first mask, for the message of :class:`~redetail.errors.RegionError`.
    """
    frames, height, width = shape
    if mask.ndim != 3 or mask.shape[0] not in (1, frames) or mask.shape[1:] != (height, width):
        raise RegionError(
            f"The mask has the shape {mask.shape}; {frames} crops of {width}x{height} pixels need "
            f"(1, {height}, {width}) or ({frames}, {height}, {width})."
        )
    if mask.dtype.kind != "f":
        raise RegionError(f"Masks must be floating point numbers from 0 to 1, not {mask.dtype}.")
    for index, one in enumerate(mask, first):
        low, high = _range(one)
        if not (low >= 0 and high <= 1):  # also true of NaN
            raise RegionError(f"Mask {index} has values from {low:g} to {high:g}; masks must be between 0 and 1.")


def check_hint(name: str, hint: Pixels, shape: tuple[int, ...]) -> None:
    """Raise :class:`~redetail.errors.InputError` for hints that differ in size or number from crops of ``shape``."""
    if hint.shape != shape or hint.dtype.kind != "f":
        raise InputError(
            f"The hints {name!r} are {hint.dtype} of shape {hint.shape}; {shape[0]} crops of {shape[2]}x{shape[1]} "
            f"pixels need floating point numbers of shape {shape}."
        )


def refuse_hints(hints: Mapping[str, Any]) -> None:
    """Raise :class:`~redetail.errors.SettingsError` if an engine without ControlNets is given hints."""
    if hints:
        raise SettingsError(
            f"The hints {', '.join(map(repr, hints))} are not used, because this engine has no ControlNet; leave them "
            "out."
        )


def all_finite(values: Tensor) -> bool:
    """Whether no value is NaN or infinite. Only the extremes are tested, which are NaN or infinite if any value is;
    this takes a tenth of the time of testing each value."""
    return bool(torch.isfinite(torch.stack(values.aminmax())).all())


def described(capabilities: Capabilities, placement: Placement) -> Capabilities:
    """The capabilities of an engine that samples latents, with its placement.

    If little memory makes windows no longer than the usual overlap, the default overlap is reduced, so that defaults
    are never refused.
    """
    length, defaults = capabilities.context_length, capabilities.defaults
    if length is not None and length <= Settings().context_overlap:
        defaults = {"context_overlap": length // 4, **defaults}
    return replace(capabilities, placement=placement.as_dict(), defaults=defaults, uses_strength=capabilities.has_vae)


def finite(latents: Tensor, placement: Placement) -> Tensor:
    """The latents; raises :class:`~redetail.errors.ModelError` if some are not finite numbers."""
    if not all_finite(latents):
        raise ModelError(
            f"On {placement}, the model produced values that are not finite; use dtype float32, or another sampler or "
            "scheduler."
        )
    return latents


def hand_back(request: Request, step: int = 16) -> None:
    """Write the crops unchanged, ``step`` frames at a time, as an engine does if the whole mask is zero."""
    for start, stop in request.crops.ranges(step):
        request.write(start, np.array(request.crops.read(start, stop), np.float32))


def latent_window(settings: Settings, default: int | None, grid: LatentGrid) -> tuple[int | None, int]:
    """Length and overlap of context windows in latents, from the frames of the settings or of ``default`` (None: all).

    Raises :class:`~redetail.errors.SettingsError` for an overlap that is no shorter than the windows.
    """
    frames, shared = settings.context_length or default, settings.context_overlap
    overlap = -(-shared // grid.temporal)
    if frames is None:
        return None, overlap
    if shared >= frames:
        raise SettingsError(
            f"context-overlap is {shared}, but the context windows have a length of {frames}; the overlap must be "
            "smaller."
        )
    length = grid.latents(frames)
    return length, min(overlap, length - 1)


def context_windows_for(
    latents: int,
    settings: Settings,
    default: int | None,
    limit: int | None = None,
    *,
    stride: int = 1,
    grid: LatentGrid = IMAGE,
) -> list[ContextWindow]:
    """The context windows of a segment of this many latents: as long as the settings ask for, else ``default`` frames
    (None: all at once).

    ``stride``: the settings' stride in the first part of the sampling, 1 afterwards. ``grid``: the frames of a latent.

    Raises :class:`~redetail.errors.SettingsError` if windows are longer than ``limit``, the reach of the motion layers,
    and for an overlap that is no shorter than the windows.
    """
    length, overlap = latent_window(settings, default, grid)
    if length is None:
        return context_windows(latents, max(latents, overlap + 1), overlap)
    if limit is not None and length > limit:
        raise SettingsError(
            f"context-length is {length}, but this model's motion layers can process at most {limit} frames at once; "
            f"use {limit} or less (longer clips are sampled in overlapping windows)."
        )
    return context_windows(
        latents,
        length,
        overlap,
        stride=stride,
        loop=settings.context_loop,
        blend=settings.context_blend,
    )


def _checked_crops(crops: CropSource) -> CropSource:
    def read(start: int, stop: int) -> Pixels:
        pixels = crops.read(start, stop)
        check_crops(pixels, (stop - start, *crops.shape[1:]), start)
        return pixels

    return replace(crops, read=read)


def _checked_hint(name: str, hint: CropSource, shape: tuple[int, ...]) -> CropSource:
    def read(start: int, stop: int) -> Pixels:
        pixels = hint.read(start, stop)
        check_hint(name, pixels, (stop - start, *shape[1:]))
        return pixels

    return replace(hint, read=read)


def _range(values: NDArray[np.floating]) -> tuple[float, float]:
    """Smallest and largest value; NaN if any value is NaN."""
    return float(values.min()), float(values.max())
