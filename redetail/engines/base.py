"""The engine seam: pixels in, pixels out, a range of frames at a time.

An engine is made with its models; latents, VAE, text encoder and model patching stay inside it. The pipeline knows
only what is declared here, and one suite of contract tests runs on every engine.

**Colour.** Crops are full-range RGB as a screen shows it: float32 with 0 for black and 1 for white, gamma-encoded with
the transfer and the primaries of the source. The engine gets what the source has, whatever that is, and returns the
same: it must not linearise, tone-map or convert between colour spaces. It may assume that values lie in 0..1 but for
the overshoot of a resampling filter, and must itself write values in 0..1. It need not keep the overall colour of the
crops: the pipeline restores low frequencies (``color_match``).

**Threads.** An engine may be called from any thread and runs one request at a time: a second caller waits, and serves
its cancel token while it does. So an engine that loads, moves or patches shared weights holds a lock throughout a
request (:func:`redetail.engines.exclusive.exclusive`); one that only computes needs none. ``read``, ``mask``, ``write``
and ``progress`` are called on the caller's thread; none of them may run the same engine.
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
"""(first frame, frame after the last) -> pictures (n, h, w, 3), or masks (n, h, w), of these frames. They are only
read, and may be a view."""
Write = Callable[[int, Pixels], None]
"""(first frame, pictures (n, h, w, 3) float32 0..1). The array is the engine's: what is kept of it has to be copied."""


@dataclass(frozen=True, slots=True)
class Cost:
    """How much main memory requests take in addition to the loaded models, for estimates on the safe side.

    ``stretch_bytes``: for each pixel of all frames of a request; ``window_bytes``: in addition, for each pixel of the
    frames that are sampled together; ``request_bytes``: in addition to both, at any size; 0 if that is little, as it
    is for an engine whose device has its own memory.
    ``even``: whether time is in proportion to pixels, so that a small request tells how long a large one takes.
    """

    stretch_bytes: int = 0
    window_bytes: int = 0
    request_bytes: int = 0
    even: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Capabilities:
    """What an engine can do.

    ``size_multiple``: width and height of its crops must be multiples of this. ``context_length``: frames of the
    crops that its motion layers take at once (None: any number); longer segments are sampled in overlapping windows by
    the engine itself.
    ``defaults``: settings that differ from those of the detailer node; ``presets``: settings that belong together for
    its models, by name. ``uses_prompt``: whether text matters, ``prompt_words``: the only words that do
    (empty: all); ``uses_loras``: whether LoRA can be added;
    ``uses_shift``: whether its schedule has a shift (rectified flows); ``uses_strength``: whether it knows the noise
    levels of its schedule; ``has_vae``: whether crops pass through a VAE, whose losses can be given back;
    ``placement``: where and how it computes, for the report.
    ``hints``: what its ControlNets are shown, names that can be computed and files of whole-frame hints.
    ``part_pixels``: pixels of all frames that one request should have at most; a longer segment comes in parts, so that
    memory does not grow with the clip. ``cost``: what it takes of memory and time.
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
        """Every frame at once, (F, h, w, 3): for what cannot work on a part of them."""
        return self.read(0, self.frames)


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One segment: the crops of one region over consecutive frames, which are re-diffused together.

    ``crops``: sides are multiples of the engine's ``size_multiple``. ``mask``: reads masks (n, h, w) float32 0..1 at
    the crops' size; 0 keeps a pixel, 1 re-diffuses it; with ``shared_mask`` there is a single one, ``mask(0, 1)``, for
    all frames. ``write``: takes the result; every frame is written exactly once, in ascending order. ``first_frame``:
    position of the first crop in its region, and ``total_frames``: frames of the region (None: it ends with these
    crops), so that a region enhanced in several parts gets the noise that it would have got in one. ``hints``: what
    ControlNets are shown, by the name that their :class:`~redetail.engines.spec.ControlFile` gives; what is left out
    and can be computed from the crops is. ``progress`` counts model calls.
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
        """The masks of a range of frames, (n, h, w) or, where one is shared by all, (1, h, w)."""
        return self.mask(0, 1) if self.shared_mask else self.mask(start, stop)


@runtime_checkable
class ChecksSettings(Protocol):
    """An engine, or a part of one, that can tell before any work whether it would refuse settings."""

    def check(self, settings: Settings) -> None:
        """Raise what :meth:`Engine.run` would raise for these settings, whatever the crops."""
        ...


@runtime_checkable
class StatesNoise(Protocol):
    """An engine that knows how much noise its settings mean."""

    def noise_level(self, settings: Settings) -> float | None:
        """Share of noise, 0 (the crop) to 1 (pure noise), in what a run with these settings starts from; None if
        ``denoise`` alone says it."""
        ...


def noise_level(engine: object, settings: Settings) -> float | None:
    """What :class:`StatesNoise` states, and None of other engines."""
    return engine.noise_level(settings) if isinstance(engine, StatesNoise) else None


MemoryPlan = Callable[[int, Size], Mapping[str, int]]
"""(frames, size of crops) -> computed bytes by what takes them: the weights of each part, "activations", what the
device holds at a time as "needed", and what it has as "device". Empty where they are not known."""


@runtime_checkable
class PlansMemory(Protocol):
    """An engine that knows what it takes of its device."""

    memory_plan: MemoryPlan


class Engine(Protocol):
    """Enhances the crops of one region; see the module for what holds of colours and threads."""

    @property
    def capabilities(self) -> Capabilities:
        """What this engine can do."""
        ...

    def run(self, request: Request) -> None:
        """Re-diffuse all crops of a segment together and write the result.

        Equal input and seed give equal output, in whatever ranges it is read; where the whole mask is zero the crops
        come back as they are. Raises :class:`~redetail.errors.Cancelled` within one step of ``cancel``,
        :class:`~redetail.errors.SettingsError` for what the engine does not have (a sampler, a ControlNet for a hint),
        :class:`~redetail.errors.InputError` and :class:`~redetail.errors.RegionError` for crops and masks that are not
        as described, when they are read. After an error, what was written is not valid.
        """
        ...
