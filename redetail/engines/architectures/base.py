"""What the program knows about each family of models: one :class:`Architecture` per family.

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

    ``kind``: its role ("checkpoint", "motion-module", "lora", "vae" ...); ``base``: the base model that it belongs to,
    "" if the tensors do not show it; ``what``: both in words ("a LoRA for Stable Diffusion XL"); ``option``: the
    command-line option that takes it, "" if it is recognised but cannot be used; ``prediction``: "eps" or "v", "" if
    the tensors do not show it; ``details``: facts that only this kind has.
    """

    kind: str
    base: str
    what: str
    option: str = ""
    prediction: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


Recognizer = Callable[[Shapes], Identity | None]
"""Says what a file is by the names and shapes of its tensors; None if it does not recognise the file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownModel:
    """A published file (or folder on the hub): ``option`` is the option that takes it, ``notes`` say what it works
    with.

    The licence is the one that the publisher states on the given page.
    """

    name: str
    option: str
    published: str
    licence: str
    notes: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Footprint:
    """How much memory the models of a family take in addition to a checkpoint's weights; estimates are on the safe
    side.

    ``side``: side of the pictures that they were trained on, in pixels; ``cell``: pixels along a side of a latent cell;
    ``bytes_per_cell``: activations for each cell, frame and row of the batch, in float32; ``parameters``: the number of
    parameters of what is loaded with a checkpoint, which ``companion`` names in words; ``vae_bytes_per_pixel``:
    activations of the full-resolution layers of the VAE in float32; ``frames``: those of a usual context window.
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
        """Bytes in addition to the checkpoint's weights: the companion's weights and the activations of such a
        window."""
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

    ``base``: its identifier; ``name``: its name in words ("Stable Diffusion XL"); ``related``: other bases whose
    checkpoints :attr:`load` handles, if only to say why they cannot be used. ``wanted``: what can be loaded, in words,
    with the possible forms; ``takes``: the fields of :class:`~redetail.engines.spec.ModelSpec` that can be given with
    the checkpoint. ``recognizers``: say what a file is, the most specific first. ``folder_of``: the model folder at a
    path or containing it; None if the path is something else. ``describe``: the facts about such a folder. ``load``:
    makes the engine from the family itself and paths on this machine.

    ``parts``: bytes of the weights of a model's parts on a device, by name in words, and bytes of memory that the
    device should have, by command-line options, from most to least; None if the footprint is enough.

    ``defaults``: settings that differ from those of the detailer node; ``presets``: settings that belong together, by
    name, which means the same in every family that has it. ``footprint``: None if the weights alone count. ``known``:
    published weights that work; ``hub_weights``: patterns of the weight files that are downloaded for a model on the
    hub; ``hub_unused``: those of them that are not needed, according to the configs of the model's parts in a folder.
    ``mixed_precision``: whether the networks run under autocast. ``bundled``: the folder below ``redetail/bundled`` of
    the model that is used by default.
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
