"""Reading documents (jobs, segments, plans): keys are checked against those that exist, values against their kind.

A key that is misspelt is refused with the name that was probably meant: a value that is silently left out would only be
noticed after an hour's work.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from redetail.errors import SettingsError

T = TypeVar("T")


class WrongKindError(Exception):
    """What a value should have been: "text", "a number". :func:`named` makes a sentence of it."""


def known(
    table: Any,
    names: Iterable[str],
    where: str,
    *,
    aliases: Mapping[str, str] | None = None,
    elsewhere: Mapping[str, Iterable[str]] | None = None,
) -> dict[str, Any]:
    """The table with its keys as they are declared in ``names``; ``where`` is what messages call it.

    ``aliases`` are other spellings of keys; ``elsewhere`` lists the keys of other tables, so that a message can say
    where a key belongs. Raises :class:`~redetail.errors.SettingsError` for a key that does not exist.
    """
    if not isinstance(table, Mapping):
        raise SettingsError(f"{where} must be a table, not {table!r}.")
    declared, taken = tuple(names), {}
    for key, value in table.items():
        plain = key.replace("-", "_")
        name = (aliases or {}).get(plain, plain)
        if name not in declared:
            raise SettingsError(f"there is no key {key!r} in {where}; {_instead(plain, declared, elsewhere or {})}.")
        if name in taken:
            raise SettingsError(f"{name} stands in {where} twice, once as {key!r}; keep one.")
        taken[name] = value
    return taken


def _instead(name: str, declared: Sequence[str], elsewhere: Mapping[str, Iterable[str]]) -> str:
    """What to do with a key that does not exist in a table of these."""
    tables = ((table, tuple(keys)) for table, keys in elsewhere.items())
    places = [table for table, keys in tables if name in keys and not set(keys) <= set(declared)]
    if places:
        return f"it belongs to {places[0]}"
    near = difflib.get_close_matches(name, declared, 1)
    return f"the nearest is {near[0]!r}" if near else f"choose one of: {', '.join(declared)}"


def named(name: str, read: Callable[[Any], T], value: Any) -> T:
    """The value as ``read`` returns it; raises SettingsError with its name where it is of the wrong kind."""
    try:
        return read(value)
    except WrongKindError as error:
        raise SettingsError(f"{name} must be {error}, not {value!r}.") from error


def text(value: Any) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        raise WrongKindError("text")
    return value


def number(value: Any) -> float:
    """A number, not true or false."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WrongKindError("a number")
    return float(value)


def truth(value: Any) -> bool:
    """True or false, since the text "no" would be true."""
    if not isinstance(value, bool):
        raise WrongKindError("true or false")
    return value


def each(read: Callable[[Any], T]) -> Callable[[Any], tuple[T, ...]]:
    """A reader of lists whose values ``read`` reads."""

    def all_of(values: Any) -> tuple[T, ...]:
        if not isinstance(values, list):
            raise WrongKindError("a list")
        return tuple(read(value) for value in values)

    return all_of


def is_text(value: str) -> bool:
    """Whether a text can be written as UTF-8: one that came from bytes that are not has lone surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
