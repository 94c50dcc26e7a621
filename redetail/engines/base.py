"""The engine seam: pixels in, pixels out.

An engine is made with its models; latents, VAE, text encoder and model patching stay inside it. The pipeline knows
only what is declared here, and one suite of contract tests runs on every engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from redetail.progress import CancelToken, ProgressCallback, no_progress
from redetail.settings import Settings

Pixels = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Capabilities:
    """What an engine can do.

    ``size_multiple``: width and height of its crops must be multiples of this. ``context_length``: frames its motion
    layers take at once (None: any number); longer segments are sampled in overlapping windows by the engine itself.
    ``defaults``: settings that differ from those of the detailer node. ``uses_prompt``: whether text matters;
    ``uses_loras``: whether LoRA can be added; ``placement``: where and how it computes, for the report.
    ``hints``: what its ControlNets are shown, names that can be computed and files of whole-frame hints.
    ``part_pixels``: pixels of all frames that one call should get at most; a longer segment comes in parts, so that
    memory does not grow with the clip.
    """

    name: str
    size_multiple: int
    context_length: int | None
    samplers: tuple[str, ...]
    schedulers: tuple[str, ...]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    uses_prompt: bool = True
    uses_loras: bool = False
    part_pixels: int = 128 * 512 * 512
    hints: tuple[str, ...] = ()
    placement: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class ChecksSettings(Protocol):
    """An engine, or a part of one, that can tell before any work whether it would refuse settings."""

    def check(self, settings: Settings) -> None:
        """Raise what :meth:`Engine.enhance` would raise for these settings, whatever the crops."""
        ...


class Engine(Protocol):
    """Enhances the crops of one region."""

    @property
    def capabilities(self) -> Capabilities:
        """What this engine can do."""
        ...

    def enhance(
        self,
        crops: Pixels,
        mask: Pixels,
        settings: Settings,
        *,
        first_frame: int = 0,
        progress: ProgressCallback = no_progress,
        cancel: CancelToken | None = None,
        hints: Mapping[str, Pixels] | None = None,
    ) -> Pixels:
        """Re-diffuse all crops of a segment together.

        ``crops``: (F, h, w, 3) float32 0..1, sides multiples of ``size_multiple``. ``mask``: (1, h, w) for all frames
        or (F, h, w), float32 0..1; 0 keeps a pixel, 1 re-diffuses it. ``first_frame``: position of crops[0] in its
        region, so that a region enhanced in several parts gets the noise that it would have got in one. ``hints``:
        what ControlNets are shown, (F, h, w, 3) 0..1 by the name that their :class:`~redetail.engines.spec.ControlFile`
        gives; what is left out and can be computed from the crops is.

        Returns (F, h, w, 3) float32 0..1. Equal input and seed give equal output; where the whole mask is zero the
        crops come back as they are. Progress counts model calls. Raises
        :class:`~redetail.errors.Cancelled` within one step of ``cancel``, :class:`~redetail.errors.SettingsError`
        for what the engine does not have (a sampler, a ControlNet for a hint), :class:`~redetail.errors.InputError` and
        :class:`~redetail.errors.RegionError` for crops and masks that are not as described.
        """
        ...
