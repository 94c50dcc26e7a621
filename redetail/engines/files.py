"""``identify``: what a weight file is, in terms that users know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from redetail.engines.architectures import recognize
from redetail.engines.weightfile import FP8, WeightFile, open_weights
from redetail.errors import ModelError


@dataclass(frozen=True, kw_only=True, slots=True)
class FileFacts:
    """What is known about a weight file or a model folder without reading its numbers.

    ``kind``, ``base``, ``what``, ``option``, ``prediction`` and ``details``: see
    :class:`~redetail.engines.architectures.base.Identity`. ``parameters``: how many numbers; ``bytes``: size on disk;
    ``dtype``: the precision of most of them, as safetensors writes it; ``in_fp8``: how many of them are in fp8.
    """

    path: Path
    kind: str
    base: str
    what: str
    option: str = ""
    prediction: str = ""
    parameters: int
    bytes: int
    dtype: str
    in_fp8: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)


def identify(path: str | Path) -> FileFacts:
    """What a weight file is, from the names and shapes of its tensors.

    Raises :class:`~redetail.errors.ModelError` for a file that is not a weight file, is truncated, or is a pickle with
    anything but tensors in it; such a pickle is never executed.
    """
    return facts_of(open_weights(path))


def facts_of(file: WeightFile) -> FileFacts:
    """Like :func:`identify`, for a file that is already open."""
    found = recognize({name: tensor.shape for name, tensor in file.tensors.items()})
    numbers: dict[str, int] = {}
    for tensor in file.tensors.values():
        numbers[tensor.dtype] = numbers.get(tensor.dtype, 0) + tensor.numbers
    return FileFacts(
        path=file.path,
        kind=found.kind,
        base=found.base,
        what=found.what,
        option=found.option,
        prediction=found.prediction,
        parameters=sum(numbers.values()),
        bytes=file.path.stat().st_size,
        dtype=max(numbers, key=lambda name: numbers[name], default=""),
        in_fp8=sum(count for dtype, count in numbers.items() if dtype in FP8),
        details=found.details,
    )


def with_parts(main: FileFacts, parts: Iterable[FileFacts]) -> FileFacts:
    """The facts of one part of a model, with the size of all parts."""
    parameters, size = map(sum, zip(*((part.parameters, part.bytes) for part in parts), strict=True))
    return replace(main, parameters=parameters, bytes=size)


def open_as(path: str | Path, kinds: tuple[str, ...], wanted: str) -> tuple[WeightFile, FileFacts]:
    """Open a file that must be of one of these kinds; ``wanted`` says in words what is needed.

    Raises :class:`~redetail.errors.ModelError`, which says what the file is instead.
    """
    file = open_weights(path)
    facts = facts_of(file)
    if facts.kind not in kinds:
        raise ModelError(f"{path} is {facts.what}; give {wanted} instead.")
    return file, facts
