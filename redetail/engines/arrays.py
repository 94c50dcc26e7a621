"""Runs engines: checks what they write, and lets arrays be read and written by range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from redetail.documents import shown
from redetail.engines.base import Capabilities, CropSource, Engine, Pixels, Request
from redetail.engines.checks import check_hint, check_mask
from redetail.errors import InputError, ModelError
from redetail.progress import CancelToken, ProgressCallback, no_progress
from redetail.settings import Settings


def run_checked(engine: Engine, request: Request) -> None:
    """Call ``engine.run(request)``; raises :class:`~redetail.errors.ModelError` if the engine does not write every
    frame once, in order, as finite floating-point pixels of the crops' size."""
    name, shape = engine.capabilities.name, request.crops.shape
    done = 0

    def write(start: int, pixels: Pixels) -> None:
        nonlocal done
        if not isinstance(pixels, np.ndarray) or not pixels.size:
            raise ModelError(f"The engine {name} returned {shown(pixels)} for frame {start}; it must return an array.")
        stop = start + len(pixels)
        if start != done or stop > shape[0] or pixels.shape[1:] != shape[1:] or pixels.dtype.kind != "f":
            raise ModelError(
                f"After {done} of {shape[0]} frames, the engine {name} returned pixels of shape {pixels.shape} and "
                f"type {pixels.dtype} for frame {start}; it must return all frames in order, as floating point "
                f"numbers, with the shape {shape} in all."
            )
        if not np.isfinite([pixels.min(), pixels.max()]).all():
            raise ModelError(_not_finite(engine.capabilities, start))
        request.write(start, pixels)
        done = stop

    engine.run(replace(request, write=write))
    if done != shape[0]:
        raise ModelError(f"The engine {name} returned {done} of {shape[0]} frames; it must return all of them.")


def _not_finite(capabilities: Capabilities, start: int) -> str:
    placement = capabilities.placement
    where = f"On {placement['device']} in {placement['dtype']}, the" if "dtype" in placement else "The"
    return (
        f"{where} engine {capabilities.name} produced values that are not finite from frame {start} on; use dtype "
        "float32, or another sampler or scheduler."
    )


def enhance_arrays(
    engine: Engine,
    crops: Pixels,
    mask: Pixels,
    settings: Settings,
    *,
    first_frame: int = 0,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
    hints: Mapping[str, Pixels] | None = None,
) -> Pixels:
    """Run an engine on arrays: crops (F, h, w, 3) float32 0..1, a mask (1 or F, h, w) float32 0..1, hints like crops.

    Returns new crops (F, h, w, 3) float32 0..1. See :class:`~redetail.engines.base.Request` for the arguments and
    :meth:`~redetail.engines.base.Engine.run` for errors.
    """
    if crops.ndim != 4 or crops.shape[-1] != 3 or 0 in crops.shape:
        raise InputError(f"Crops must have the shape (frames, height, width, 3), not {crops.shape}.")
    check_mask(mask, crops.shape[:3])
    for name, hint in (hints or {}).items():
        check_hint(name, hint, crops.shape)
    result = np.empty(crops.shape, np.float32)

    def write(start: int, pixels: Pixels) -> None:
        result[start : start + len(pixels)] = pixels

    request = Request(
        crops=CropSource.of(crops),
        mask=lambda start, stop: mask[start:stop],
        write=write,
        settings=settings,
        shared_mask=len(mask) == 1,
        first_frame=first_frame,
        hints={name: CropSource.of(hint) for name, hint in (hints or {}).items()},
        progress=progress,
        cancel=cancel,
    )
    run_checked(engine, request)
    return result
