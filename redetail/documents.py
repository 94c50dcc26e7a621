"""Reads documents (jobs, segments, plans): checks keys against those that exist, and values against their types.

A misspelt key is refused, and the message suggests the key that was probably meant. If it were ignored, that would only
be noticed after an hour's work.
"""

from __future__ import annotations

import json
import math
import re
import reprlib
import stat
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from redetail.errors import InputError, SettingsError, nearest_name

T = TypeVar("T")
Form = Literal["JSON", "TOML"]

LARGEST: Mapping[Form, int] = MappingProxyType({"JSON": 256 * 2**20, "TOML": 2**20})
"""The most bytes of a file: reports of long clips and segments with masks are large, files that people write are
not."""
DIGITS = 40
"""The most digits of a whole number; seeds have up to 20."""

_QUOTE = reprlib.Repr()
_QUOTE.maxlevel, _QUOTE.maxstring, _QUOTE.maxother, _QUOTE.maxlong = 3, 100, 100, DIGITS


def shown(value: object) -> str:
    """A value as messages quote it, shortened if it is long or deeply nested."""
    try:
        return _QUOTE.repr(value)
    except ValueError:  # a whole number with more digits than Python converts
        return "a number with thousands of digits"


def counted(number: int, noun: str) -> str:
    """A number with its noun, which takes an s in the plural: "1 frame", "2 frames"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def byte_count(name: str, value: object) -> int:
    """The number of bytes in a whole number, or in a string such as 20GB, 500M or 1.5 GiB.

    Raises :class:`~redetail.errors.SettingsError` for anything else; ``name`` says what the value is for.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    text = value.strip().lower() if isinstance(value, str) and len(value) <= DIGITS else ""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kmgt]?)(i?)b?", text)
    count = (
        0 if match is None else int(float(match[1]) * (1024 if match[3] else 1000) ** " kmgt".index(match[2] or " "))
    )
    if not count:
        raise SettingsError(f"{name} is {shown(value)}; give a size such as 20GB or 500MB.")
    return count


def load(path: Path, form: Form, what: str, advice: str) -> Any:
    """The content of a document file; messages call it ``what`` and end in ``advice``.

    Raises :class:`~redetail.errors.InputError` if the file cannot be read or is not such a document, and if it is
    implausible: too large, too deeply nested, or with a number that has too many digits.
    """
    return parsed(read_text(path, form, what), form, str(path), advice)


def parsed(text: str, form: Form, name: str, advice: str) -> Any:
    """The content of a document; messages call it ``name`` and end in ``advice``. Raises the errors of :func:`load`."""
    try:
        if form == "JSON":
            return json.loads(text, parse_int=_whole_number)
        document = tomllib.loads(text)
        _check_numbers(document)
    except RecursionError as error:
        raise InputError(f"{name} contains {form} that is nested too deeply; {advice}.") from error
    except ValueError as error:
        raise InputError(f"{name} is not a {form} document ({error}); {advice}.") from error
    return document


def read_text(path: Path, form: Form, what: str) -> str:
    """The text of a document file; raises :class:`~redetail.errors.InputError` if it cannot be read."""
    try:
        status = path.stat()
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):  # a device or a pipe can be endless
            raise InputError(f"The {what} {path} is not a file on disk; save it as a file first.")
        if status.st_size > LARGEST[form]:
            most = LARGEST[form] // 2**20
            raise InputError(
                f"The {what} {path} is larger than {most} MB, the limit for a {form} document; check that it is the "
                "right file."
            )
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"The {what} {path} cannot be read ({error.strerror}); check the name.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"The {what} {path} is not UTF-8 text ({error.reason}); save it as UTF-8.") from error
    except ValueError as error:  # a name that no file can have
        raise InputError(f"The {what} {str(path)!r} cannot be read ({error}); check the name.") from error


def _whole_number(digits: str) -> int:
    if len(digits) > DIGITS:
        raise ValueError(f"it contains a number with {len(digits)} digits")
    return int(digits)


def _check_numbers(value: Any) -> None:
    if isinstance(value, int) and value.bit_length() > DIGITS * math.log2(10):
        raise ValueError(f"it contains a number with more than {DIGITS} digits")
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            _check_numbers(inner)


def line_of(document: str, keys: Sequence[str | int]) -> int:
    """The line, from 1, of the value in a valid JSON document to which these keys and indices lead; if it does not
    exist, the line of the last value on the way to it.

    If a key is in an object twice, the first one is found.
    """
    at = _after_space(document, 0)
    for key in keys:
        inner = next((place for name, place in _places(document, at) if name == key), None)
        if inner is None:
            break
        at = inner
    return document.count("\n", 0, at) + 1


def _places(document: str, at: int) -> Iterator[tuple[str | int, int]]:
    """The keys or indices of the object or list that starts at position ``at``, and where their values start."""
    decoder, opening, index = json.JSONDecoder(), document[at], 0
    at = _after_space(document, at + 1)
    while opening in "{[" and document[at] not in "]}":
        key: str | int = index
        if opening == "{":
            key, at = decoder.raw_decode(document, at)
            at = _after_space(document, _after_space(document, at) + 1)  # the colon
        yield key, at
        _, at = decoder.raw_decode(document, at)
        at = _after_space(document, at)
        at = _after_space(document, at + 1) if document[at] == "," else at
        index += 1


def _after_space(document: str, at: int) -> int:
    while at < len(document) and document[at] in " \t\r\n":
        at += 1
    return at


class WrongKindError(Exception):
    """A value has the wrong type. The text says what it should have been ("text", "a number"); :func:`named` makes a
    sentence of it."""


def known(
    table: Any,
    names: Iterable[str],
    where: str,
    *,
    aliases: Mapping[str, str] | None = None,
    elsewhere: Mapping[str, Iterable[str]] | None = None,
) -> dict[str, Any]:
    """The table with its keys spelled as in ``names``; messages call the table ``where``.

    ``aliases`` are other spellings of keys; ``elsewhere`` lists the keys of other tables, so that a message can say
    where a key belongs. Raises :class:`~redetail.errors.SettingsError` for a key that does not exist.
    """
    if not isinstance(table, Mapping):
        raise SettingsError(f"{where} must be a table, not {shown(table)}.")
    declared, taken = tuple(names), {}
    for key, value in table.items():
        plain = key.replace("-", "_")
        name = (aliases or {}).get(plain, plain)
        if name not in declared:
            raise SettingsError(f"there is no key {shown(key)} in {where}{_instead(plain, declared, elsewhere or {})}")
        if name in taken:
            raise SettingsError(f"{name} appears in {where} twice, once as {shown(key)}; keep one.")
        taken[name] = value
    return taken


def _instead(name: str, declared: Sequence[str], elsewhere: Mapping[str, Iterable[str]]) -> str:
    """The end of a message: what to write instead of a key that a table with these keys does not have."""
    tables = ((table, tuple(keys)) for table, keys in elsewhere.items())
    places = [table for table, keys in tables if name in keys and not set(keys) <= set(declared)]
    if places:
        return f"; it belongs to {places[0]}."
    near = nearest_name(name, declared)
    return f"; choose one of: {', '.join(declared)}." if near is None else f"; did you mean {near!r}?"


def named(name: str, read: Callable[[Any], T], value: Any) -> T:
    """The value as ``read`` returns it; raises SettingsError with the value's name if its type is wrong."""
    try:
        return read(value)
    except WrongKindError as error:
        raise SettingsError(f"{name} must be {error}, not {shown(value)}.") from error


def text(value: Any) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        raise WrongKindError("text")
    return value


def number(value: Any) -> float:
    """A number, not true or false."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WrongKindError("a number")
    try:
        return float(value)
    except OverflowError as error:
        raise WrongKindError("a number with at most 300 digits") from error


def truth(value: Any) -> bool:
    """True or false, and nothing else, since the text "no" would count as true."""
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
    """Whether a string can be written as UTF-8; one that was read from other bytes has lone surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
