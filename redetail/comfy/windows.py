"""Context windows for clips longer than a motion model can take.

AnimateDiff's motion modules have positions for 24 or 32 frames and were trained on 16. Where such a model is on its
own with a longer clip, windows are chosen here; windows that the user has chosen stay.
"""

from __future__ import annotations

import logging
import sys
from copy import copy
from typing import Any

from redetail.errors import ModelError

logger = logging.getLogger(__name__)

LENGTH, OVERLAP = 16, 4
"""Frames of a window, as many as motion modules were trained on, and frames that two neighbours share."""

_PARAMS = "ADE_params"  # where AnimateDiff-Evolved keeps what a model is sampled with
_CORE = "context_handler"  # where ComfyUI keeps the windows of its own nodes


def with_context_windows(model: Any, frames: int) -> Any:
    """A model that takes ``frames`` frames: itself where it can, else a clone with context windows.

    Raises :class:`~redetail.errors.ModelError` if its motion model is too short and offers no windows.
    """
    if model.model_options.get(_CORE) is not None:
        return _batched(model)
    limit = motion_limit(model)
    if limit is None or frames <= limit or _has_windows(model):
        return model
    clone = model.clone()
    params = clone.get_attachment(_PARAMS)
    try:
        params = params.clone() if hasattr(params, "clone") else params
        unset = params.context_options.clone()
        options = sys.modules[type(unset).__module__].ContextOptions
        group = type(unset)()  # the first of its options counts, and those that are there say "no windows"
        group.extras = unset.extras
        length = min(LENGTH, limit)
        group.add(
            options(
                context_length=length,
                context_stride=1,
                context_overlap=min(OVERLAP, length - 1),
                context_schedule="standard_static",
                fuse_method="pyramid",
            )
        )
        params.context_options = group
    except (AttributeError, KeyError, TypeError) as error:
        raise ModelError(
            f"The motion model takes at most {limit} frames, but the clip has {frames}; connect context options with "
            f"a context_length of {LENGTH} to the node that applies the motion model."
        ) from error
    clone.set_attachments(_PARAMS, params)
    logger.info(
        "%d frames are sampled in context windows of %d: the motion model takes at most %d.", frames, length, limit
    )
    return clone


def motion_limit(model: Any) -> int | None:
    """Frames that a model's motion model can take at once; None if it has none or no limit."""
    if not hasattr(model, "get_attachment") or model.get_attachment(_PARAMS) is None:
        return None
    limits = [
        getattr(getattr(motion, "model", None), "encoding_max_len", None)
        for key in getattr(model, "additional_models", {})
        if "ADE" in key or "motion" in key.lower()
        for motion in model.get_additional_models_with_key(key)
    ]
    known = [limit for limit in limits if limit is not None]
    return min(known) if known else None


def _has_windows(model: Any) -> bool:
    """Whether the user chose AnimateDiff-Evolved's windows."""
    options = getattr(model.get_attachment(_PARAMS), "context_options", None)
    return getattr(options, "context_length", None) is not None


def _batched(model: Any) -> Any:
    """A clone whose core context windows work where the frames are the batch.

    They look up the step by comparing its sigma with those of the schedule, and get one sigma for each frame of the
    batch instead, which only fits where there is one frame.
    """
    handler = model.model_options[_CORE]
    if not hasattr(handler, "set_step"):
        return model
    changed = copy(handler)

    def set_step(timestep: Any, model_options: Any) -> None:
        type(handler).set_step(changed, timestep.flatten()[:1], model_options)

    changed.set_step = set_step
    clone = model.clone()
    clone.model_options[_CORE] = changed
    return clone
