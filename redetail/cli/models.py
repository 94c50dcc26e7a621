"""``redetail models``: which weights are known, and what a file is."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from redetail.cli.display import plain, tell
from redetail.cli.model_check import check
from redetail.engines.architectures import architecture_of, bundled_architecture, known_models, model_folder
from redetail.engines.architectures.base import PartSizes
from redetail.engines.device import Placement, place
from redetail.engines.files import FileFacts, identify
from redetail.engines.memory import GIB, device_memory
from redetail.errors import ModelError, SettingsError
from redetail.files import expanded
from redetail.progress import CancelToken

# Details that do not help to use a file: names inside it.
_INNER = ("prefix", "names")
_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def models(options: argparse.Namespace, cancel: CancelToken) -> None:
    """``redetail models``."""
    if options.action == "inspect":
        inspect(options, cancel)
    elif options.action == "check":
        check(options.files, options.device)
    else:
        tell("\n".join(_known()) + "\n")


def inspect(options: argparse.Namespace, cancel: CancelToken) -> None:
    """``redetail models inspect``."""
    if not options.files:
        raise SettingsError("No file was given; use: redetail models inspect FILE")
    placement, refused = place(options.device), list[ModelError]()
    for path in map(Path, options.files):
        cancel.check()
        try:
            tell("\n".join(_inspected(expanded(path), placement)) + "\n")
        except ModelError as error:
            if len(options.files) == 1:
                raise
            sys.stderr.write(plain(f"redetail: {error}\n"))
            refused.append(error)
    if refused:
        raise ModelError(f"{len(refused)} of {len(options.files)} files cannot be used.")


def _known() -> Iterator[str]:
    yield "Published weights that are known to work (nothing is downloaded; docs/weights.md says how to start):"
    known = tuple(known_models())
    for option in dict.fromkeys(model.option for model in known):
        yield f"\n{option}"
        for model in known:
            if model.option == option:
                yield f"  {model.name}"
                yield f"      {model.published}, {model.licence}"
                yield f"      {model.notes}"


def _inspected(path: Path, placement: Placement) -> Iterator[str]:
    """What is known about a file, or about a folder that is one model."""
    model = model_folder(path)
    if model is not None:
        family, folder = model
        return _described(family.describe(folder), placement)
    alone = sorted(path.glob("*.safetensors")) if os.path.isdir(path) else []
    return _described(identify(alone[0] if len(alone) == 1 else path), placement)


def _described(facts: FileFacts, placement: Placement) -> Iterator[str]:
    """What a file is, which option takes it, and whether it fits this machine."""
    yield f"{facts.path}: {facts.what}"
    yield _extent(facts)
    known = {name: value for name, value in facts.details.items() if value not in ("", (), None) and name not in _INNER}
    if facts.prediction:
        known = {"prediction": facts.prediction, **known}
    if known:
        shown = (f"{name.replace('_', ' ')} {_value(value)}" for name, value in known.items())
        yield f"  {', '.join(shown)}"
    if not facts.option:
        yield "  not a kind of file that redetail can use; docs/weights.md lists those that it can use"
        return
    yield "  used if no --checkpoint is given" if _is_bundled(facts.path) else f"  option: {facts.option}"
    yield f"  {_fit(facts, placement)}"


def _is_bundled(path: Path) -> bool:
    folder = files("redetail.bundled") / bundled_architecture().bundled
    return path.resolve() == Path(str(folder)).resolve()


def _extent(facts: FileFacts) -> str:
    dtype = _DTYPES.get(facts.dtype, facts.dtype)
    return f"  {_count(facts.parameters)} parameters in {dtype}, {_size(facts.bytes)} on disk"


def _fit(facts: FileFacts, placement: Placement) -> str:
    """The memory that the file's weights take and, for a checkpoint, the memory for the whole run."""
    total = device_memory(placement.device)
    weights = facts.parameters * placement.dtype.itemsize
    needed, what = weights, f"the weights take {_size(weights)}"
    family = architecture_of(facts.kind, facts.base)
    if family is not None and family.parts is not None:
        return _parts_fit(family.parts(facts, placement), placement, total)
    if family is not None and family.footprint is not None:
        footprint = family.footprint
        needed += footprint.working(footprint.frames, footprint.side**2, placement.dtype.itemsize)
        beside = f"{footprint.companion} and " if footprint.companion else ""
        what += (
            f", and with {beside}{footprint.frames} crops of {footprint.side}x{footprint.side} about {_size(needed)}"
        )
    smaller = "too large; use smaller crops, a shorter --context-length or --dtype float16"
    return f"on {placement} {what} out of {_size(total)}: {'fits' if needed <= total else smaller}"


def _parts_fit(sizes: PartSizes, placement: Placement, total: int) -> str:
    """The weights of all parts, and the options with which they fit."""
    named = ", ".join(f"{part} {_size(size)}" for part, size in sizes.weights.items())
    fitting = next((option for option, size in sizes.needed.items() if size <= total), None)
    verdict = "too large; use weights with fewer parameters" if fitting is None else f"fits with {fitting}"
    return (
        f"memory for the weights on {placement}: {named}; the device has {_size(total)}: "
        f"{verdict if fitting != '' else 'fits'}"
    )


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
