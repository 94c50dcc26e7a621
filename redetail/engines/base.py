"""The engine seam: pixels in, pixels out, a range of frames at a time.

An engine is made with its models; latents, VAE, text encoder and model patching stay inside it. The pipeline knows
only what is declared here, and one suite of contract tests runs on every engine.

**Colour.** Crops are full-range RGB as a screen shows it: float32 with 0 for black and 1 for white, gamma-encoded with
the transfer function and the primaries of the source. The engine gets whatever encoding the source has and must return
the same: it must not linearise, tone-map or convert between colour spaces. It can rely on values in 0..1, except for
the overshoot of a resampling filter, and must itself write values in 0..1. It need not keep the overall colour of the
crops, because the pipeline restores low frequencies (``color_match``).

**Threads.** An engine can be called from any thread and runs one request at a time; a second caller waits, and can be
cancelled while it waits. So an engine that loads, moves or patches shared weights holds a lock throughout a request
(:func:`redetail.engines.exclusive.exclusive`); an engine that only computes needs no lock. ``read``, ``mask``,
``write`` and ``progress`` are called on the caller's thread; none of them may run the same engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from redetail.progress import CancelToken, ProgressCallback, no_progress
from redetail.region import Size
from redetail.settings import Settings

Pixels = NDArray[np.float32]
Read = Callable[[int, int], Pixels]
"""(first frame, frame after the last) -> pictures (n, h, w, 3) or masks (n, h, w) of these frames. The array may be a
view; the engine must not write to it."""
Write = Callable[[int, Pixels], None]
"""(first frame, pictures (n, h, w, 3) float32 0..1). The array belongs to the engine: copy whatever you keep."""


@dataclass(frozen=True, slots=True)
class Cost:
    """How much main memory requests take in addition to the loaded models; estimates with it are on the safe side.

    ``stretch_bytes``: bytes for each pixel of all frames of a request; ``window_bytes``: additional bytes for each
    pixel of the frames that are sampled together; ``request_bytes``: additional bytes for a request of any size. They
    are 0 if the amount is small, as for an engine whose device has its own memory. ``even``: whether time is
    proportional to the number of pixels, so that a small request shows how long a large one takes.
    """

    stretch_bytes: int = 0
    window_bytes: int = 0
    request_bytes: int = 0
    even: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Capabilities:
    """What an engine can do.

    ``size_multiple``: width and height of crops must be multiples of this. ``context_length``: the number of frames
    that the motion layers take at once (None: any number); the engine itself samples longer segments in overlapping
    windows. ``defaults``: settings that differ from those of the detailer node; ``presets``: settings that belong
    together for the engine's models, by name. ``uses_prompt``: whether text matters; ``prompt_words``: the only words
    that matter (empty: all words); ``uses_loras``: whether LoRA can be added; ``uses_shift``: whether the schedule has
    a shift (rectified flows); ``uses_strength``: whether the engine knows the noise levels of its schedule;
    ``has_vae``: whether crops pass through a VAE, whose losses can be restored; ``placement``: where and how the engine
    computes, for the report. ``hints``: what the ControlNets are shown: names of hints that can be computed, and files
    of whole-frame hints. ``part_pixels``: the most pixels, over all frames, that one request should have; a longer
    segment comes in parts, so that memory does not grow with the clip. ``cost``: the memory and time that requests
    take.
    """

    name: str
    size_multiple: int
    context_length: int | None
    samplers: tuple[str, ...]
    schedulers: tuple[str, ...]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    uses_prompt: bool = True
    prompt_words: tuple[str, ...] = ()
    uses_loras: bool = False
    uses_shift: bool = False
    uses_strength: bool = False
    has_vae: bool = False
    part_pixels: int = 128 * 512 * 512
    cost: Cost = Cost()
    hints: tuple[str, ...] = ()
    placement: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CropSource:
    """``frames`` pictures of one ``size``, read by range.

    ``read(start, stop)`` is (stop - start, h, w, 3) float32 0..1 for 0 <= start < stop <= ``frames``. Any range may be
    read, in any order and more than once.
    """

    read: Read
    frames: int
    size: Size

    @classmethod
    def of(cls, crops: Pixels) -> Self:
        """The frames of an array (F, h, w, 3)."""
        frames, height, width, _ = crops.shape
        return cls(lambda start, stop: crops[start:stop], frames, Size(width, height))

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(F, h, w, 3)."""
        return self.frames, *self.size.shape, 3

    def ranges(self, step: int) -> Iterator[tuple[int, int]]:
        """(start, stop) of all frames in order, ``step`` at a time."""
        return ((start, min(self.frames, start + step)) for start in range(0, self.frames, step))

    def all(self) -> Pixels:
        """Every frame at once, (F, h, w, 3), for operations that need all frames together."""
        return self.read(0, self.frames)


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One segment: the crops of one region over consecutive frames, which are re-diffused together.

    ``crops``: the sides are multiples of the engine's ``size_multiple``. ``mask``: reads masks (n, h, w) float32 0..1
    at the crops' size; 0 keeps a pixel, 1 re-diffuses it; with ``shared_mask``, all frames share the single mask
    ``mask(0, 1)``. ``write``: takes the result; every frame is written exactly once, in ascending order.
    ``first_frame``: position of the first crop in its region; ``total_frames``: number of frames in the region (None:
    it ends with these crops). With these two, a region that is enhanced in several parts gets the same noise as in one
    part. ``hints``: what ControlNets are shown, by the name that their :class:`~redetail.engines.spec.ControlFile`
    gives; a hint that is missing is computed from the crops if possible. ``progress`` counts model calls.
    """

    crops: CropSource
    mask: Read
    write: Write
    settings: Settings
    shared_mask: bool = False
    first_frame: int = 0
    total_frames: int | None = None
    hints: Mapping[str, CropSource] = field(default_factory=dict)
    progress: ProgressCallback = no_progress
    cancel: CancelToken | None = None

    def masks(self, start: int, stop: int) -> Pixels:
        """The masks of a range of frames, (n, h, w), or (1, h, w) if all frames share one mask."""
        return self.mask(0, 1) if self.shared_mask else self.mask(start, stop)


@runtime_checkable
class ChecksSettings(Protocol):
    """An engine, or part of an engine, that can tell before it does any work whether it would refuse settings."""

    def check(self, settings: Settings) -> None:
        """Raise what :meth:`Engine.run` would raise for these settings, whatever the crops."""
        ...


@runtime_checkable
class StatesNoise(Protocol):
    """An engine that knows how much noise its settings stand for."""

    def noise_level(self, settings: Settings) -> float | None:
        """The share of noise, 0 (only the crop) to 1 (pure noise), that a run with these settings starts from; None if
        ``denoise`` alone determines it."""
        ...


def noise_level(engine: object, settings: Settings) -> float | None:
    """The level that a :class:`StatesNoise` engine states; None for other engines."""
    return engine.noise_level(settings) if isinstance(engine, StatesNoise) else None


MemoryPlan = Callable[[int, Size], Mapping[str, int]]
"""(frames, size of crops) -> calculated memory use in bytes: the weights of each part, "activations", "needed" for the
most that the device holds at any one time, and "device" for what it has. Empty if these are not known."""


@runtime_checkable
class PlansMemory(Protocol):
    """An engine that knows how much of its device's memory it takes."""

    memory_plan: MemoryPlan


class Engine(Protocol):
    """Enhances the crops of one region; the module's docstring states the rules for colours and threads."""

    @property
    def capabilities(self) -> Capabilities:
        """What this engine can do."""
        ...

    def run(self, request: Request) -> None:
        """Re-diffuse all crops of a segment together and write the result.

        Equal input and seed give equal output, whatever ranges the input is read in; if the whole mask is zero, the
        crops come back unchanged. Raises :class:`~redetail.errors.Cancelled` within one step of ``cancel``,
        :class:`~redetail.errors.SettingsError` for anything that the engine does not have (a sampler, a ControlNet for
        a hint), :class:`~redetail.errors.InputError` and :class:`~redetail.errors.RegionError` for crops and masks that
        are not as described, when they are read. After an error, whatever was written is not valid.
        """
        ...
