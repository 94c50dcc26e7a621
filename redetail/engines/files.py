"""``identify``: what a weight file is, in terms that the person who gave it knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redetail.engines.kinds import kind_of
from redetail.engines.weightfile import WeightFile, open_weights
from redetail.errors import ModelError

BASE_NAMES = {
    "sd15": "Stable Diffusion 1.x",
    "sd2": "Stable Diffusion 2.x",
    "sdxl": "Stable Diffusion XL",
    "sdxl-refiner": "the refiner of Stable Diffusion XL",
    "flux": "Flux",
}
_NOUNS = {
    "sd15": "a Stable Diffusion 1.x checkpoint",
    "sd15-inpainting": "an inpainting checkpoint of Stable Diffusion 1.x",
    "sd2": "a Stable Diffusion 2.x checkpoint",
    "sdxl": "a Stable Diffusion XL checkpoint",
    "sdxl-refiner": "the refiner of Stable Diffusion XL",
    "motion-module": "motion module",
    "motion-lora": "a motion LoRA",
    "lora": "a LoRA",
    "controlnet": "a ControlNet",
    "vae": "a VAE",
    "embedding": "a textual inversion embedding",
    "text-encoder": "a text encoder",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class FileFacts:
    """What is known of a weight file without reading its numbers.

    ``kind``: "sd15", "sd15-inpainting", "sd2", "sdxl", "sdxl-refiner" (checkpoints, or UNets alone), "motion-module",
    "motion-lora", "lora", "controlnet", "vae", "embedding", "text-encoder" or "unknown". ``base``: the model it belongs
    to ("sd15", "sd2", "sdxl" ...; "" where that cannot be told). ``prediction``: "eps" or "v"; "" where the tensors do
    not tell. ``parameters``: how many numbers; ``bytes``: size on disk; ``dtype``: the precision of most of them.
    ``details``: what only that kind has, such as ``version``, ``limit`` and ``widths`` of a motion module, ``layout``
    and ``rank`` of a LoRA, ``parts`` of a checkpoint.
    """

    path: Path
    kind: str
    base: str
    prediction: str
    parameters: int
    bytes: int
    dtype: str
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def what(self) -> str:
        """The kind in words: "an AnimateDiff v2 motion module for Stable Diffusion 1.x"."""
        if self.kind == "unknown":
            return str(self.details.get("what") or "a weight file of a kind that is not known here")
        noun = _NOUNS[self.kind]
        if self.kind == "motion-module":
            version = self.details["version"]
            noun = f"{'an' if version[0] in 'AEIOU' else 'a'} {version} {noun}"
        if self.kind in BASE_NAMES or self.kind == "sd15-inpainting" or self.base not in BASE_NAMES:
            return noun
        return f"{noun} for {BASE_NAMES[self.base]}"


def identify(path: str | Path) -> FileFacts:
    """What a weight file is, from the names and shapes of its tensors.

    Raises :class:`~redetail.errors.ModelError` in one sentence for what is no weight file, is truncated, or is a pickle
    with anything but tensors in it; such a pickle never runs.
    """
    return facts_of(open_weights(path))


def facts_of(file: WeightFile) -> FileFacts:
    """:func:`identify` for a file that is open already."""
    found = kind_of({name: tensor.shape for name, tensor in file.tensors.items()})
    numbers: dict[str, int] = {}
    for tensor in file.tensors.values():
        numbers[tensor.dtype] = numbers.get(tensor.dtype, 0) + tensor.numbers
    return FileFacts(
        path=file.path,
        kind=found.kind,
        base=found.base,
        prediction=found.prediction,
        parameters=sum(numbers.values()),
        bytes=file.path.stat().st_size,
        dtype=max(numbers, key=lambda name: numbers[name], default=""),
        details=found.details,
    )


def open_as(path: str | Path, kinds: tuple[str, ...], wanted: str) -> tuple[WeightFile, FileFacts]:
    """Open a file that must be of one of these kinds; ``wanted`` says in words what was asked for.

    Raises :class:`~redetail.errors.ModelError` that says what the file is instead.
    """
    file = open_weights(path)
    facts = facts_of(file)
    if facts.kind not in kinds:
        raise ModelError(f"{path} is {facts.what}; what is wanted here is {wanted}.")
    return file, facts
