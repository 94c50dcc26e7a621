"""What a prompt asks of a restoration network: a few words for the damage to take away, each with a weight."""

from __future__ import annotations

import functools

from redetail.engines.prompt import weighted_words
from redetail.errors import SettingsError

TASKS = ("sharpen", "denoise", "deblock")
KEEP = "keep"
MAX_WEIGHT = 2.0


@functools.lru_cache(maxsize=64)
def task_weights(prompt: str, tasks: tuple[str, ...] = TASKS) -> tuple[float, ...] | None:
    """How much of each task a prompt asks for, e.g. ``"deblock, (sharpen:0.5)"``; None if it says nothing.

    Words stand between commas or blanks, whatever their case; ``keep`` asks for no task at all, and ``(word:weight)``
    for 0 to 2 times one, where 1 is what the word alone asks for. Other words are left out; a run says so, see
    :func:`redetail.engines.checks.prompt_notes`.

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
