"""What the program knows of a family of models: one :class:`Architecture` per family.

Nothing here imports PyTorch: the command line lists families, presets and published weights before anything is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from redetail.engines.base import Engine
    from redetail.engines.device import Placement
    from redetail.engines.files import FileFacts
    from redetail.engines.spec import ModelSpec

Shapes = Mapping[str, tuple[int, ...]]
"""Shapes of the tensors of a file, by name."""

CHECKPOINT = "checkpoint"
"""The ``kind`` of a file that an engine can be made of."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a weight file is.

    ``kind``: its role ("checkpoint", "motion-module", "lora", "vae" ...); ``base``: the base model it belongs to, ""
    where the tensors do not show it; ``what``: both in words ("a LoRA for Stable Diffusion XL"); ``option``: the option
    of the command line that takes it, "" where it is recognised but cannot be used; ``prediction``: "eps" or "v", ""
    where the tensors do not show it; ``details``: what only this kind has.
    """

    kind: str
    base: str
    what: str
    option: str = ""
    prediction: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


Recognizer = Callable[[Shapes], Identity | None]
"""Looks at names and shapes of tensors and says what the file is, or None if it does not know."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownModel:
    """A published file (or folder of the hub): ``option`` is the option that takes it, ``notes`` what it goes with.

    The licence is the one that the publisher states on the page named.
    """

    name: str
    option: str
    published: str
    licence: str
    notes: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Footprint:
    """How much memory the models of a family take in addition to a checkpoint's weights; estimates on the safe side.

    ``side``: of the pictures they were trained on, in pixels; ``cell``: pixels along a side of a latent cell;
    ``bytes_per_cell``: activations for each cell, frame and row of the batch, in float32; ``parameters``: of what is
    loaded with a checkpoint, which is ``companion`` in words; ``vae_bytes_per_pixel``: activations of the
    full-resolution layers of the VAE in float32; ``frames`` of a usual context window.
    """

    side: int
    cell: int
    bytes_per_cell: int
    parameters: int = 0
    companion: str = ""
    vae_bytes_per_pixel: int = 2048
    frames: int = 16

    def activations(self, frames: int, pixels: int, itemsize: int, *, rows: int = 2) -> int:
        """Bytes for a window of ``frames`` crops of this many pixels; ``itemsize``: bytes of a number; with guidance
        the batch has 2 rows."""
        return rows * frames * (pixels // self.cell**2) * self.bytes_per_cell * itemsize // 4

    def working(self, frames: int, pixels: int, itemsize: int) -> int:
        """Bytes besides the checkpoint's weights: the companion's weights and the activations of such a window."""
        return self.parameters * itemsize + self.activations(frames, pixels, itemsize)

    def window(self, total: int, itemsize: int) -> int | None:
        """Frames whose activations take half of ``total`` bytes; at least 4, and None from ``frames`` on."""
        fitting = total // 2 // self.activations(1, self.side**2, itemsize)
        return None if fitting >= self.frames else max(4, fitting)

    def vae_pixels(self, allowed: int) -> int:
        """Pixels of crops that go through the VAE at once in this many bytes; at least those of one crop of 512x512."""
        return max(512**2, allowed // self.vae_bytes_per_pixel)


class PartSizes(NamedTuple):
    """See :attr:`Architecture.parts`."""

    weights: Mapping[str, int]
    needed: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """A family of models.

    ``base``: its identifier; ``name`` in words ("Stable Diffusion XL"); ``related``: other bases whose checkpoints
    :attr:`load` deals with, if only to say why they cannot be used. ``wanted``: what can be loaded, in words, with the
    forms it may have; ``takes``: the fields of :class:`~redetail.engines.spec.ModelSpec` that can be given with the
    checkpoint. ``recognizers``: tell what a file is, the most particular first. ``folder_of``: the model folder that a
    path is, or is a file of; None if the path is something else. ``describe``: the facts of such a folder.
    ``load``: makes the engine; gets the family itself, and paths on this machine.

    ``parts``: bytes of the weights of a model's parts on a device, by name in words, and of the memory that it should
    have, by the options of the command line, from most to least; None if a footprint says enough.

    ``defaults``: settings that differ from those of the detailer node; ``presets``: settings that belong together, by
    name, which means the same in every family that has it. ``footprint``: None if the weights alone count.
    ``known``: published weights that work; ``hub_weights``: patterns of the weight files that are fetched of a model on
    the hub, and ``hub_unused`` those of them that are not needed, by the configs of the model's parts in a folder.
    ``mixed_precision``: whether the networks run under autocast. ``bundled``:
    the folder below ``redetail/bundled`` of the model that is used where none is named.
    """

    base: str
    name: str
    wanted: str
    folder_of: Callable[[Path], Path | None]
    describe: Callable[[Path], FileFacts]
    load: Callable[[Architecture, ModelSpec, Placement], Engine]
    related: tuple[str, ...] = ()
    takes: frozenset[str] = frozenset()
    recognizers: tuple[Recognizer, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    footprint: Footprint | None = None
    parts: Callable[[FileFacts, Placement], PartSizes] | None = None
    known: tuple[KnownModel, ...] = ()
    hub_weights: tuple[str, ...] = ()
    hub_unused: Callable[[Path], tuple[str, ...]] = lambda folder: ()
    mixed_precision: bool = False
    bundled: str = ""
