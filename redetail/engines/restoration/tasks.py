"""What a prompt asks of a restoration network: a few words for the damage to take away, each with a weight."""

from __future__ import annotations

import functools
import logging
import re

from redetail.errors import SettingsError

log = logging.getLogger(__name__)

TASKS = ("sharpen", "denoise", "deblock")
KEEP = "keep"
MAX_WEIGHT = 2.0
_ITEM = re.compile(r"\(\s*([^\s():,]+)\s*:\s*([^\s():,]+)\s*\)|([^\s,]+)")


@functools.lru_cache(maxsize=64)  # and so a prompt is warned about once, not for every segment
def task_weights(prompt: str, tasks: tuple[str, ...] = TASKS) -> tuple[float, ...] | None:
    """How much of each task a prompt asks for, e.g. ``"deblock, (sharpen:0.5)"``; None where it says nothing.

    Words stand between commas or blanks, whatever their case; ``keep`` asks for no task at all, and ``(word:weight)``
    for 0 to 2 times one, where 1 is what the word alone asks for. Another word is left out with a warning.

    Raises :class:`~redetail.errors.SettingsError` for a weight that is not a number from 0 to 2.
    """
    found: dict[str, float] = {}
    unknown = []
    for weighted, weight, plain in _ITEM.findall(prompt):
        word = (weighted or plain).lower()
        if word in (*tasks, KEEP):
            found[word] = _number(weight, word) if weight else 1.0
        else:
            unknown.append(word)
    if unknown:
        known = ", ".join(tasks)
        log.warning("The restoration model knows only %s and %s; it leaves out %r.", known, KEEP, _short(unknown))
    return tuple(found.get(task, 0.0) for task in tasks) if found else None


def _short(words: list[str]) -> str:
    """The first few words."""
    return " ".join(words[:6]) + (" ..." if len(words) > 6 else "")


def _number(text: str, word: str) -> float:
    """A weight as typed."""
    try:
        weight = float(text)
    except ValueError:
        weight = -1.0
    if not 0 <= weight <= MAX_WEIGHT:
        raise SettingsError(
            f"The weight of {word} in the prompt is {text}; it must be a number from 0 to {MAX_WEIGHT:g}."
        )
    return weight
