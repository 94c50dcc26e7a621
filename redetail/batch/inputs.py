"""Which clips a batch means, and where their outputs go."""

from __future__ import annotations

import glob
import os
import re
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from redetail.errors import InputError, OutputError, SettingsError
from redetail.files import check_given, expanded, natural_key, reason, resolved
from redetail.video.options import CONTAINERS

NAME = "{stem}{suffix}"
"""The default pattern for names of outputs: the name of the source."""
VIDEOS = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".mts", ".m2ts", ".ts", ".wmv", ".flv", ".3gp"),
    *(".ogv", ".mxf", ".gif", ".apng"),
)
"""The suffixes that a folder of clips is searched for."""
_LARGEST_LIST = 16 * 2**20
FIELDS = ("stem", "suffix", "parent", "number")


@dataclass(frozen=True)
class BatchClip:
    """One clip of a batch: what is read, and what is written."""

    source: Path
    output: Path


def sources_of(inputs: Iterable[str | Path]) -> list[Path]:
    """The clips that inputs mean, each once, in order.

    An input is a file, a folder of videos, a folder of images that are the frames of one clip, a pattern such as
    ``clips/*.mp4``, or ``@LIST``, a text file with an input on each line. Raises :class:`~redetail.errors.InputError`
    if an input yields no clip.
    """
    found = [path for given in inputs for path in _meant(str(given))]
    once = {os.path.realpath(path): path for path in reversed(found)}
    return [path for path in found if once.pop(os.path.realpath(path), None) is not None]


def batch_clips(sources: Sequence[Path], folder: Path, pattern: str = NAME) -> list[BatchClip]:
    """Each source with its output in ``folder``.

    ``pattern``: the output's name; it may contain the source's ``{stem}`` and ``{suffix}`` (.mkv for formats that
    cannot be written), the name of its ``{parent}`` folder, and its ``{number}`` from 1. Raises
    :class:`~redetail.errors.SettingsError` for a pattern that cannot be used or gives two clips the same name, and
    :class:`~redetail.errors.OutputError` if an output is an input.
    """
    clips = [BatchClip(one, folder / _named(pattern, one, number)) for number, one in enumerate(sources, 1)]
    read = {os.path.normcase(os.path.realpath(path)) for path in sources}
    written: dict[str, Path] = {}
    for clip in clips:
        real = os.path.normcase(os.path.realpath(clip.output))
        if real in written:
            raise SettingsError(
                f"The results of {written[real]} and {clip.source} would both be written to {clip.output}; add "
                "{parent} or {number} to the name pattern."
            )
        if real in read:
            raise OutputError(
                f"The output {clip.output} is also an input of this batch; choose another folder or name pattern."
            )
        written[real] = clip.source
    return clips


def _meant(given: str, folder: Path = Path(), lists: tuple[Path, ...] = ()) -> list[Path]:
    """The clips that one input means. Names in a list are relative to the list's ``folder``; ``lists`` are the lists in
    which the input is nested."""
    if given.startswith("@") and not os.path.exists(given):
        return _listed(folder / expanded(given[1:]), lists)
    path = folder / expanded(given)
    check_given(path)
    if os.path.isdir(path):
        try:
            videos = [one for one in path.iterdir() if one.suffix.lower() in VIDEOS and one.name[0] != "."]
        except OSError as error:
            raise InputError(f"The folder {path} cannot be read ({reason(error)}); check its permissions.") from error
        return sorted(videos, key=natural_key) or [path]
    if os.path.exists(path) or not glob.has_magic(str(path)):
        return [path]  # errors in a file are found when its turn comes
    matching = [Path(name) for name in glob.glob(str(path), recursive=True)]
    if not matching:
        raise InputError(f"No file matches {given}; check the pattern.")
    return sorted(matching, key=lambda one: (one.parent, natural_key(one)))


def _listed(path: Path, lists: tuple[Path, ...]) -> list[Path]:
    check_given(path)
    real = resolved(path)
    if real in lists:
        raise InputError(f"The list {path} includes itself; remove the line that names it.")
    try:
        if os.path.exists(path) and not os.path.isfile(path):  # a pipe or a device can be endless
            raise ValueError("it is not a file on disk")
        if path.stat().st_size > _LARGEST_LIST:
            raise ValueError(f"it is larger than {_LARGEST_LIST // 2**20} MB")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(
            f"The list {path} cannot be read ({reason(error)}); give a text file with one clip on each line."
        ) from error
    named = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return [clip for line in named for clip in _meant(line, path.parent, (*lists, real))]


def _named(pattern: str, source: Path, number: int) -> Path:
    """The name of a source's output, relative to the folder of the batch."""
    whole = Path(os.path.abspath(source))
    suffix = "" if os.path.isdir(source) else source.suffix
    if suffix and suffix.lower() not in (*CONTAINERS, ".png", ".webp"):
        suffix = ".mkv"  # which can hold whatever the others can
    stem = whole.name if os.path.isdir(source) else whole.stem
    fields = {"stem": stem, "suffix": suffix, "parent": whole.parent.name, "number": number}
    try:
        parsed = [(name, form or "") for _, name, form, _ in string.Formatter().parse(pattern) if name is not None]
        used = {name for name, _ in parsed}
        if any("{" in form or re.search(r"\d{3}", form) for _, form in parsed):
            raise ValueError("a field can be at most 99 characters wide")
        if not used <= set(FIELDS):
            unknown, known = (
                ", ".join(f"{{{name}}}" for name in names) for names in (sorted(used - set(FIELDS)), FIELDS)
            )
            raise ValueError(f"it contains {unknown}, but the only fields are {known}")
        name = Path(pattern.format(**fields))
    except (ValueError, LookupError) as error:
        raise SettingsError(f"The name pattern {pattern!r} cannot be used ({error}); see docs/batch.md.") from error
    if not name.name or name.is_absolute() or ".." in name.parts:
        raise SettingsError(
            f"The name pattern {pattern!r} does not name a file inside the output folder; use one such as {NAME!r}."
        )
    return name
