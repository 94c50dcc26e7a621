"""A family of models in one file, as somebody would add one: it blends crops towards the colour in its weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from redetail.engines.architectures.base import CHECKPOINT, Architecture, Footprint, Identity, KnownModel, Shapes
from redetail.engines.base import Capabilities, Engine, Pixels
from redetail.engines.device import Placement
from redetail.engines.fake import FakeEngine
from redetail.engines.files import FileFacts, identify, open_as
from redetail.engines.spec import ModelSpec

CONFIG = "toy.json"


class ToyEngine(FakeEngine):
    def __init__(self, family: Architecture, colour: Pixels) -> None:
        super().__init__(lambda crops: 0 * crops + colour, noise=0)
        self._family = family

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, name="toy", defaults=self._family.defaults, presets=self._family.presets)


def recognize(shapes: Shapes) -> Identity | None:
    if "toy.colour" not in shapes:
        return None
    return Identity(
        CHECKPOINT, "toy", "a toy checkpoint", "--checkpoint", details={"channels": shapes["toy.colour"][0]}
    )


def folder_of(path: Path) -> Path | None:
    return path if (path / CONFIG).is_file() else None


def describe(folder: Path) -> FileFacts:
    return replace(identify(folder / "toy.safetensors"), path=folder)


def load(family: Architecture, spec: ModelSpec, placement: Placement) -> Engine:
    path = Path(spec.checkpoint)
    file, _ = open_as(path / "toy.safetensors" if path.is_dir() else path, (CHECKPOINT,), family.wanted)
    return ToyEngine(family, file.read()["toy.colour"].numpy())


TOY = Architecture(
    base="toy",
    name="Toy",
    wanted="a toy checkpoint",
    recognizers=(recognize,),
    folder_of=folder_of,
    describe=describe,
    load=load,
    takes=frozenset({"loras"}),
    defaults={"denoise": 1.0, "steps": 3, "guide_size": 64.0},
    presets={"toy-quick": {"steps": 1, "cfg": 1.0}},
    footprint=Footprint(side=64, cell=8, bytes_per_cell=1024),
    known=(
        KnownModel(
            name="toy.safetensors", option="--checkpoint", published="example.org/toy", licence="MIT", notes="a colour"
        ),
    ),
)
