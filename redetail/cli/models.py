"""``redetail models``: which weights are known, and what a file is."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from redetail.cli.display import tell
from redetail.engines.device import Placement, place
from redetail.engines.files import FileFacts, identify
from redetail.engines.known import KNOWN
from redetail.engines.memory import FOOTPRINTS, GIB, device_memory, weight_memory, working_memory
from redetail.engines.restoration.card import ModelCard
from redetail.engines.restoration.folder import CARD, DRAFT, WEIGHTS
from redetail.engines.stable_diffusion.folder import PARTS, read_text
from redetail.errors import ModelError, SettingsError
from redetail.progress import CancelToken

# What base models a file may belong to ("" where that cannot be told), and where one of a kind is given.
_BASES = ("", "sd15", "sd2", "sdxl")
_OPTIONS = {
    "sd15": "--checkpoint",
    "sd15-inpainting": "--checkpoint",
    "sdxl": "--checkpoint",
    "motion-module": "--motion-module",
    "motion-lora": "--motion-lora",
    "lora": "--lora",
    "controlnet": "--controlnet",
    "vae": "--vae",
    "embedding": "--embedding",
}
# Layouts that are recognised and cannot be used.
_LAYOUTS = ("hotshot", "control-lora", "sparsectrl")
# Details that help nobody to use a file: names inside of it.
_INNER = ("prefix", "names")
_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_WINDOW = 16


def models(options: argparse.Namespace, cancel: CancelToken) -> None:
    """``redetail models``."""
    if options.action == "inspect":
        inspect(options, cancel)
    else:
        tell("\n".join(_known()) + "\n")


def inspect(options: argparse.Namespace, cancel: CancelToken) -> None:
    """``redetail models inspect``."""
    if not options.files:
        raise SettingsError("Name a file: redetail models inspect FILE")
    placement, refused = place(options.device), list[ModelError]()
    for path in map(Path, options.files):
        cancel.check()
        try:
            tell("\n".join(_inspected(path.expanduser(), placement)) + "\n")
        except ModelError as error:
            if len(options.files) == 1:
                raise
            sys.stderr.write(f"redetail: {error}\n")
            refused.append(error)
    if refused:
        raise ModelError(f"{len(refused)} of {len(options.files)} files are none that can be used, as was said.")


def _known() -> Iterator[str]:
    yield "Published weights that are known to work (nothing is fetched; docs/weights.md says how to begin):"
    for option in dict.fromkeys(model.option for model in KNOWN):
        yield f"\n{option}"
        for model in KNOWN:
            if model.option == option:
                yield f"  {model.name}"
                yield f"      {model.published}, {model.licence}"
                yield f"      {model.notes}"


def _inspected(path: Path, placement: Placement) -> Iterator[str]:
    """What is known of a file, or of a folder that is one model."""
    model = path.parent if path.name in (WEIGHTS, DRAFT) else path
    if (model / CARD).is_file():
        return _restoration(model, placement)
    return _described(_folder_facts(path) if path.is_dir() else identify(path), placement)


def _restoration(folder: Path, placement: Placement) -> Iterator[str]:
    """A model of the kind that is bundled; what it can do stands on its card."""
    parts = [identify(folder / name) for name in (WEIGHTS, DRAFT) if (folder / name).is_file()]
    facts, card = _together(parts[0], parts), ModelCard.from_json(read_text(folder / CARD))
    yield f"{folder}: {card.name}, version {card.version}"
    yield _extent(facts)
    yield f"  a restoration model, licence {card.licence}"
    bundled = folder.resolve() == Path(str(files("redetail.bundled") / "restoration")).resolve()
    yield "  used where no --checkpoint is given" if bundled else f"  given to: --checkpoint {folder}"
    yield f"  {_fit(facts, placement)}"


def _folder_facts(folder: Path) -> FileFacts:
    """Those of a folder in the diffusers layout: what its UNet is, with the size of all parts; or of the one weight
    file of a part alone, such as a ControlNet."""
    found = {part: sorted((folder / part).glob("*.safetensors")) for part in PARTS}
    parts = {part: identify(paths[0]) for part, paths in found.items() if paths}
    if "unet" not in parts:
        alone = sorted(folder.glob("*.safetensors"))
        return identify(alone[0] if len(alone) == 1 else folder)
    details = {**parts["unet"].details, "parts": tuple(parts)}
    return replace(_together(parts["unet"], parts.values()), path=folder, details=details)


def _together(main: FileFacts, parts: Iterable[FileFacts]) -> FileFacts:
    """The facts of one part, with the size of all."""
    parameters, size = map(sum, zip(*((part.parameters, part.bytes) for part in parts), strict=True))
    return replace(main, parameters=parameters, bytes=size)


def _described(facts: FileFacts, placement: Placement) -> Iterator[str]:
    """What a file is, where it is given, and whether it fits this machine."""
    yield f"{facts.path}: {facts.what}"
    yield _extent(facts)
    known = {name: value for name, value in facts.details.items() if value not in ("", (), None) and name not in _INNER}
    if facts.prediction:
        known = {"prediction": facts.prediction, **known}
    if known:
        shown = (f"{name.replace('_', ' ')} {_value(value)}" for name, value in known.items())
        yield f"  {', '.join(shown)}"
    option = _OPTIONS.get(facts.kind) if facts.base in _BASES and facts.details.get("layout") not in _LAYOUTS else None
    if option is None:
        yield "  not of a kind that can be used here; docs/weights.md lists those that can"
        return
    yield f"  given to: {option}"
    yield f"  {_fit(facts, placement)}"


def _extent(facts: FileFacts) -> str:
    dtype = _DTYPES.get(facts.dtype, facts.dtype)
    return f"  {_count(facts.parameters)} parameters in {dtype}, {_size(facts.bytes)} on disk"


def _fit(facts: FileFacts, placement: Placement) -> str:
    """The memory that the file's weights take, and for a checkpoint that of the whole work."""
    total = device_memory(placement.device)
    weights = weight_memory(facts.parameters, placement.dtype)
    needed, what = weights, f"its weights take {_size(weights)}"
    if _OPTIONS.get(facts.kind) == "--checkpoint":
        side = FOOTPRINTS[facts.base].side
        needed = weights + working_memory(_WINDOW, side**2, placement.dtype, facts.base)
        what += f", with a motion module and {_WINDOW} crops of {side}x{side} about {_size(needed)}"
    smaller = "too large; use smaller crops, a shorter --context-length or --dtype float16"
    return f"on {placement} {what} of {_size(total)}: {'fits' if needed <= total else smaller}"


def _count(number: int) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.1f} {letter}"
    return str(number)


def _size(size: int) -> str:
    for unit, name in ((GIB, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "+".join(map(str, value)) if isinstance(value, tuple) else str(value)
