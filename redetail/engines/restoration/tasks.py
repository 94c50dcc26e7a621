"""Reads prompts for a restoration network: a few words for the damage to remove, each with a weight."""

from __future__ import annotations

import functools

from redetail.engines.prompt import weighted_words
from redetail.errors import SettingsError

TASKS = ("sharpen", "denoise", "deblock")
KEEP = "keep"
MAX_WEIGHT = 2.0


@functools.lru_cache(maxsize=64)
def task_weights(prompt: str, tasks: tuple[str, ...] = TASKS) -> tuple[float, ...] | None:
    """The weight of each task in a prompt such as ``"deblock, (sharpen:0.5)"``; None if the prompt names no task.

    Words are separated by commas or blanks, in any case; ``keep`` asks for no task at all. ``(word:weight)`` sets a
    weight from 0 to 2; a word by itself has weight 1. Other words are ignored, with a note (see
    :func:`redetail.engines.checks.prompt_notes`).

    Raises :class:`~redetail.errors.SettingsError` for a weight that is not a number from 0 to 2.
    """
    found: dict[str, float] = {}
    for word, weight in weighted_words(prompt):
        if word in (*tasks, KEEP):
            found[word] = _number(weight, word) if weight else 1.0
    return tuple(found.get(task, 0.0) for task in tasks) if found else None


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
