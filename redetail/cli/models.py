"""``redetail models``: which weights are known, and what a file is."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from redetail.cli.display import tell
from redetail.engines.device import Placement, place
from redetail.engines.files import FileFacts, identify
from redetail.engines.known import KNOWN
from redetail.engines.memory import FOOTPRINTS, GIB, device_memory, weight_memory, working_memory
from redetail.errors import SettingsError
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
    for path in options.files:
        cancel.check()
        facts = identify(Path(path).expanduser())
        tell("\n".join(_described(facts, place(options.device))) + "\n")


def _known() -> Iterator[str]:
    yield "Published weights that are known to work (nothing is fetched; docs/weights.md says how to begin):"
    for option in dict.fromkeys(model.option for model in KNOWN):
        yield f"\n{option}"
        for model in KNOWN:
            if model.option == option:
                yield f"  {model.name}"
                yield f"      {model.published}, {model.licence}"
                yield f"      {model.notes}"


def _described(facts: FileFacts, placement: Placement) -> Iterator[str]:
    """What a file is, where it is given, and whether it fits this machine."""
    yield f"{facts.path}: {facts.what}"
    yield f"  {_count(facts.parameters)} parameters in {facts.dtype}, {facts.bytes / GIB:.2f} GiB on disk"
    known = {name: value for name, value in facts.details.items() if value not in ("", (), None)}
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


def _fit(facts: FileFacts, placement: Placement) -> str:
    """The memory that the file's weights take, and for a checkpoint that of the whole work."""
    total = device_memory(placement.device)
    weights = weight_memory(facts.parameters, placement.dtype)
    needed, what = weights, f"its weights take {_gib(weights)}"
    if _OPTIONS[facts.kind] == "--checkpoint":
        side = FOOTPRINTS[facts.base].side
        needed = weights + working_memory(_WINDOW, side**2, placement.dtype, facts.base)
        what += f", with a motion module and {_WINDOW} crops of {side}x{side} about {_gib(needed)}"
    smaller = "too large; use smaller crops, a shorter --context-length or --dtype float16"
    return f"on {placement} {what} of {_gib(total)}: {'fits' if needed <= total else smaller}"


def _count(number: int) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.1f} {letter}"
    return str(number)


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "+".join(map(str, value)) if isinstance(value, tuple) else str(value)
