r"""Parses prompts: weights, sections, and how a prompt changes over time. This works on text alone, without a model.

::

    (word)            weight 1.1; in one another they multiply: ((word)) is 1.21
    (word:1.3)        weight 1.3, whatever stands around it, as in ComfyUI
    [word]            weight 1 / 1.1
    \( \) \[ \] \: \; \\   the character itself
    BREAK             what follows starts a new chunk of the text model
    0: smiling; 24: laughing
                      key frames; a semicolon or a line end parts them, every part begins with a frame number, a
                      colon and no digit (16:9 is ordinary text)

An unmatched parenthesis is an ordinary character, and a note says so.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from redetail.errors import SettingsError
from redetail.settings import Settings

EMPHASIS = 1.1

_CHARACTER = re.compile(r"\\([()\[\]\\:;])|(.)", re.DOTALL)
_NUMBER = re.compile(r":\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))\s*$")
# The longest number of a weight, so that the time for deep nesting does not grow with the square of its length.
_NUMBER_REACH = 40
_BREAK = re.compile(r"\bBREAK\b")
_TAG = re.compile(r"<(lora|lyco|hypernet):([^<>]*)>")
_WORD = re.compile(r"\(\s*([^\s():,]+)\s*:\s*([^\s():,]+)\s*\)|([^\s,]+)")
_KEY = re.compile(r"(?:\A|(?<!\\)[;\n])\s*(-?[0-9]+)\s*:(?![0-9])")
_LAST_SEMICOLON = re.compile(r"(?<!\\);\s*\Z")
_MISSED_KEYS = re.compile(r"\A\s*[0-9]+\s*:[0-9].*[;\n]\s*[0-9]+\s*:", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Piece:
    """Words that have the same weight."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class PromptText:
    """A prompt without its key frames: sections between BREAKs, and notes on text that may be unintended."""

    sections: tuple[tuple[Piece, ...], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KeyFrame:
    """What a prompt says at one frame."""

    frame: int
    text: str


def key_frames(prompt: str) -> tuple[KeyFrame, ...]:
    """The key frames of a prompt in ascending order; ordinary text is a single key frame at 0.

    Raises :class:`~redetail.errors.SettingsError` if a frame is given twice.
    """
    found = list(_KEY.finditer(prompt))
    if not found or found[0].start() != 0:
        return (KeyFrame(0, prompt),)
    prompt = _LAST_SEMICOLON.sub("", prompt)
    stops = [*(match.start() for match in found[1:]), len(prompt)]
    keys = [KeyFrame(int(key[1]), prompt[key.end() : stop].strip()) for key, stop in zip(found, stops, strict=True)]
    keys.sort(key=lambda key: key.frame)
    for one, two in pairwise(keys):
        if one.frame == two.frame:
            raise SettingsError(
                f"The prompt has two texts for frame {one.frame} ({one.text!r}, {two.text!r}); keep one."
            )
    return tuple(keys)


def shifted(prompt: str, frames: int) -> str:
    """The same prompt with every key frame ``frames`` later; ordinary text stays as it is."""
    if not frames or not _KEY.match(prompt):
        return prompt
    return "; ".join(f"{key.frame + frames}: {key.text}" for key in key_frames(prompt))


def prompts_of(settings: Settings) -> dict[str, str]:
    """All settings that are read as prompts, by name."""
    return {name: getattr(settings, name) for name in ("prompt", "negative", "refiner_prompt", "refiner_negative")}


def starting_at(settings: Settings, frame: int) -> Settings:
    """The same settings with the key frames of every prompt counted from ``frame`` on.

    Prompts use the frame numbers of the clip, but a region starts somewhere in the clip, and a part somewhere in its
    region.
    """
    prompts = prompts_of(settings)
    moved: dict[str, Any] = {name: shifted(prompt, -frame) for name, prompt in prompts.items()}
    return settings if moved == prompts else replace(settings, **moved)


def blend(frames: Sequence[int], frame: int) -> tuple[int, int, float]:
    """The two ascending key ``frames`` between which a frame lies: their indices, and the share of the second, 0..1.

    Before the first and after the last key frame the prompt does not change.
    """
    after = bisect_right(frames, frame)
    if after == 0:
        return 0, 0, 0.0
    if after == len(frames):
        return after - 1, after - 1, 0.0
    first, second = frames[after - 1], frames[after]
    return after - 1, after, (frame - first) / (second - first)


def read_prompt(text: str) -> PromptText:
    """The weights and sections of a prompt without key frames."""
    notes = [
        f"The prompt's {tag[0]} is ignored; load the file with --lora FILE:strength instead."
        for tag in _TAG.finditer(text)
    ]
    if _MISSED_KEYS.match(text):
        notes.append(
            "The prompt is read as ordinary text, not as key frames; for key frames, put a space after the "
            "colon that follows each frame number."
        )
    characters = [match.groups() for match in _CHARACTER.finditer(_TAG.sub("", text))]
    escaped = [escape is not None for escape, _ in characters]
    letters = "".join(escape or letter for escape, letter in characters)
    partners, lonely = _partners(letters, escaped)
    notes += [f"The prompt's {letters[index]!r} is unmatched and is read as an ordinary character." for index in lonely]
    notes += _foreign(letters, escaped, partners)
    return PromptText(_sections(_pieces(letters, escaped, partners)), tuple(dict.fromkeys(notes)))


def literal(text: str) -> str:
    """``text`` with every character of the grammar escaped, so that it is taken literally."""
    return re.sub(r"([()\[\]\\:;])", r"\\\1", text)


def _partners(letters: str, escaped: Sequence[bool]) -> tuple[dict[int, int], list[int]]:
    """The matching pairs of parentheses, and those that are unmatched."""
    partners, waiting, lonely = dict[int, int](), list[int](), list[int]()
    for index, letter in enumerate(letters):
        if escaped[index] or letter not in "()[]":
            continue
        if letter in "([":
            waiting.append(index)
            continue
        opening = "(" if letter == ")" else "["
        place = next((at for at in range(len(waiting) - 1, -1, -1) if letters[waiting[at]] == opening), None)
        if place is None:
            lonely.append(index)
            continue
        partners[waiting[place]] = index
        lonely += waiting[place + 1 :]
        del waiting[place:]
    return partners, sorted(lonely + waiting)


def _pieces(letters: str, escaped: Sequence[bool], partners: dict[int, int]) -> Iterator[Piece]:
    """Runs of characters that have the same weight."""
    closing = set(partners.values())
    weight, outer, run, skip_to = 1.0, list[float](), list[str](), 0
    silent = dict[int, int]()
    for index, letter in enumerate(letters):
        if index in partners or index in closing:
            yield Piece("".join(run), weight)
            run.clear()
        if index in partners:
            outer.append(weight)
            number = _explicit(letters, escaped, index, partners[index])
            weight = weight * (EMPHASIS if letter == "(" else 1 / EMPHASIS) if number is None else number[0]
            if number is not None:
                silent[number[1]] = partners[index]
        elif index in closing:
            weight = outer.pop()
        else:
            skip_to = silent.get(index, skip_to)
            if index >= skip_to:
                run.append(letter)
    yield Piece("".join(run), weight)


def _explicit(letters: str, escaped: Sequence[bool], start: int, stop: int) -> tuple[float, int] | None:
    """The weight at the end of a round parenthesis, and the position of its colon."""
    if letters[start] != "(":
        return None
    inside = max(start + 1, stop - _NUMBER_REACH)
    match = _NUMBER.search(letters[inside:stop])
    if match is None or escaped[inside + match.start()]:
        return None
    return float(match[1]), inside + match.start()


def _sections(pieces: Iterator[Piece]) -> tuple[tuple[Piece, ...], ...]:
    """The pieces that have text, split into sections at each BREAK."""
    sections: list[list[Piece]] = [[]]
    for piece in pieces:
        for number, text in enumerate(_BREAK.split(piece.text)):
            if number:
                sections.append([])
            if text.strip():
                sections[-1].append(Piece(text, piece.weight))
    return tuple(tuple(section) for section in sections)


def _foreign(letters: str, escaped: Sequence[bool], partners: dict[int, int]) -> Iterator[str]:
    """Brackets that switch words during the sampling in other programs."""
    for start, stop in partners.items():
        if letters[start] != "[":
            continue
        if any(letters[index] in ":|" and not escaped[index] for index in _level(start, stop, partners)):
            yield (
                f"The prompt's {letters[start : stop + 1]!r} is read as words with a lower weight; words that "
                "change during sampling are not supported."
            )


def _level(start: int, stop: int, partners: dict[int, int]) -> Iterator[int]:
    """The characters between two parentheses that are not inside another pair."""
    index = start + 1
    while index < stop:
        if index in partners:
            index = partners[index]
        else:
            yield index
        index += 1


def weighted_words(prompt: str) -> list[tuple[str, str]]:
    """Words between commas or blanks in lower case, and the weight of those in ``(word:weight)`` as typed, else ""."""
    return [((weighted or plain).lower(), weight) for weighted, weight, plain in _WORD.findall(prompt)]
