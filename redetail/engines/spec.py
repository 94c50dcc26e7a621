"""``ModelSpec``: the files that an engine is made of, and the strength of each.

The library, the command line and job files share this declaration. It only names paths; what kind of file each is, and
whether it fits the others, is determined when it is loaded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redetail.documents import shown
from redetail.errors import SettingsError
from redetail.files import expanded

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class WeightedFile:
    """A file and how strongly it acts; a strength of 0 is exactly the same as leaving the file out.

    Raises :class:`~redetail.errors.SettingsError` for a strength that is not a finite number.
    """

    path: Path
    strength: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))
        _check_strength(self.path, self.strength)

    @classmethod
    def parse(cls, text: str) -> WeightedFile:
        """``FILE`` or ``FILE:strength``; raises :class:`~redetail.errors.SettingsError`."""
        path, numbers = _split(text, 1)
        return cls(path, *numbers)

    def __str__(self) -> str:
        """Text that :meth:`parse` reads; a name that ends like a strength keeps its strength of 1."""
        plain = self.strength == 1.0 and not _split(str(self.path), 1)[1]
        return str(self.path) if plain else f"{self.path}:{self.strength!r}"


@dataclass(frozen=True, slots=True)
class ControlFile:
    """A ControlNet, its strength, the part of the sampling in which it acts (0..1), and the hint that it is shown.

    ``hint``: the name of a hint that is computed from the crop (canny, lineart, tile ...), or a video or folder of
    images with hints for whole frames. Raises :class:`~redetail.errors.SettingsError` for a strength that is not
    finite, for a start or an end outside 0..1, and for an end before the start.
    """

    path: Path
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0
    hint: str = "tile"

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))
        _check_strength(self.path, self.strength)
        if not 0 <= self.start <= self.end <= 1:
            raise SettingsError(
                f"The ControlNet {self.path} acts from {self.start:g} to {self.end:g}; give two values from 0 to 1, "
                "the smaller one first."
            )

    @classmethod
    def parse(cls, text: str, hint: str) -> ControlFile:
        """``FILE``, ``FILE:strength``, ``FILE:strength:start`` or ``FILE:strength:start:end``."""
        path, numbers = _split(text, 3)
        return cls(path, hint=hint, **dict(zip(("strength", "start", "end"), numbers, strict=False)))

    def __str__(self) -> str:
        return f"{self.path}:{self.strength!r}:{self.start!r}:{self.end!r}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec:
    """Everything that is loaded for one engine.

    ``checkpoint``: a single file in the original layout, a folder in the diffusers layout, a restoration model's
    folder, or a name on the hub if there is a network connection; None: the bundled model. ``text_encoder``: for Wan, a
    file or folder. If both experts of Wan 2.2 are used, ``checkpoint`` is the high-noise one, ``low_noise_checkpoint``
    the low-noise one, and ``high_noise_loras`` are LoRA for the high-noise one. Everything else is for Stable
    Diffusion; ``vae`` is also for Wan. File names may be given as strings, those of LoRA with a strength
    ("a.safetensors:0.5"), and lists as any sequence; all are converted to the types declared here. Raises
    :class:`~redetail.errors.SettingsError` for anything else.
    """

    checkpoint: str | Path | None = None
    motion_module: Path | None = None
    motion_loras: tuple[WeightedFile, ...] = ()
    vae: Path | None = None
    text_encoder: Path | None = None
    loras: tuple[WeightedFile, ...] = ()
    embeddings: tuple[Path, ...] = ()
    controls: tuple[ControlFile, ...] = ()
    refiner_checkpoint: str | Path | None = None
    low_noise_checkpoint: str | Path | None = None
    high_noise_loras: tuple[WeightedFile, ...] = ()

    def __post_init__(self) -> None:
        for name in ("checkpoint", "refiner_checkpoint", "low_noise_checkpoint"):
            given = getattr(self, name)
            if given is not None and not isinstance(given, str | Path):
                raise SettingsError(f"{name} is {shown(given)}; it must be the name of a file or a model.")
        for name in ("motion_module", "vae", "text_encoder"):
            given = getattr(self, name)
            object.__setattr__(self, name, None if given is None else _path(name, given))
        object.__setattr__(self, "embeddings", tuple(_path("embeddings", one) for one in _several(self, "embeddings")))
        for name in ("motion_loras", "loras", "high_noise_loras"):
            object.__setattr__(self, name, tuple(_weighted(name, one) for one in _several(self, name)))
        object.__setattr__(self, "controls", tuple(_several(self, "controls")))
        for control in self.controls:
            if not isinstance(control, ControlFile):
                raise SettingsError(f"controls contains {control!r}; each item of this list must be a ControlFile.")

    @property
    def files(self) -> tuple[Path, ...]:
        """All files and folders that the spec names, including hints; names on the hub and of computed hints are among
        them."""
        checkpoints = (self.checkpoint, self.refiner_checkpoint, self.low_noise_checkpoint)
        parts = (*checkpoints, self.motion_module, self.vae, self.text_encoder)
        loras = (*self.motion_loras, *self.loras, *self.high_noise_loras)
        weighted = (*(one.path for one in loras), *(one.path for one in self.controls))
        hints = (one.hint for one in self.controls)
        return tuple(Path(one) for one in (*parts, *self.embeddings, *weighted, *hints) if one is not None)


def as_spec(model: str | Path | ModelSpec | None) -> ModelSpec:
    """A spec of this checkpoint alone; a spec is returned as it is."""
    return model if isinstance(model, ModelSpec) else ModelSpec(checkpoint=model)


def _several(spec: ModelSpec, name: str) -> Sequence[Any]:
    """The values given for a field that takes several."""
    given = getattr(spec, name)
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise SettingsError(f"{name} is {shown(given)}; it must be a list, even for a single file.")
    return given


def _path(name: str, given: Any) -> Path:
    if not isinstance(given, str | Path):
        raise SettingsError(f"{name} is {shown(given)}; it must be the name of a file.")
    return expanded(given)


def _weighted(name: str, given: Any) -> WeightedFile:
    if isinstance(given, WeightedFile):
        return given
    return WeightedFile.parse(given) if isinstance(given, str) else WeightedFile(_path(name, given))


def _check_strength(path: Path, strength: float) -> None:
    if not math.isfinite(strength):
        raise SettingsError(f"The strength of {path} is {strength}; it must be a finite number.")


def _split(text: str, most: int) -> tuple[Path, list[float]]:
    """A path and up to ``most`` numbers after colons; a drive letter's colon belongs to the path."""
    parts = text.split(":")
    numbers: list[float] = []
    while len(parts) > 1 and len(numbers) < most and _NUMBER.fullmatch(parts[-1]):
        numbers.insert(0, float(parts.pop()))
    path = ":".join(parts)
    if not path:
        raise SettingsError(f"{text!r} does not name a file; give FILE or FILE:strength.")
    return expanded(path), numbers
