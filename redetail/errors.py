"""The exception tree.

Every error that redetail raises on purpose is one of these::

    RedetailError             one sentence: what is wrong, which value, what to do
    ├── InputError            a file or a frame cannot be used: missing, empty, truncated, of another size
    ├── OutputError           the result cannot be written: no permission, no space, unknown container
    ├── SettingsError         a setting is out of its range or contradicts another (also a ValueError)
    │   └── UnknownNameError  a sampler, scheduler, detector ... that does not exist; lists those that do
    ├── RegionError           a box, mask or segment that cannot be used with these frames
    ├── ModelError            a model folder or weight file that cannot be loaded
    ├── ClusterError          a Ray cluster that cannot be reached, or that repeatedly lost its workers
    └── DependencyError       an optional package is missing; names the command that installs it

    Cancelled                 the caller asked to stop; not an error, so not part of the tree above
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


class RedetailError(Exception):
    """The base of all errors whose message is meant for people."""


class InputError(RedetailError):
    """A file or a frame cannot be used."""


class OutputError(RedetailError):
    """The result cannot be written."""


class SettingsError(RedetailError, ValueError):
    """A setting is out of its range or contradicts another."""


class UnknownNameError(SettingsError):
    """A requested name does not exist.

    ``kind`` says what the name stands for ("sampler"), ``name`` is what was given, ``known`` lists what exists.
    """

    def __init__(self, kind: str, name: object, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, tuple(known)
        super().__init__(f"There is no {kind} named {name!r}; {self._advice}")

    @property
    def _advice(self) -> str:
        if not self.known:
            return "there are none to choose from."
        near, listed = nearest_name(str(self.name), self.known), ", ".join(self.known)
        return f"choose one of: {listed}." if near is None else f"did you mean {near!r}? Choose one of: {listed}."

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.kind, self.name, self.known)


class RegionError(RedetailError):
    """A box, mask or segment cannot be used with these frames."""


class ModelError(RedetailError):
    """A model folder or weight file cannot be loaded."""


class ClusterError(RedetailError):
    """A Ray cluster cannot be reached, or repeatedly lost its workers."""


class DependencyError(RedetailError):
    """An optional package is missing.

    ``package`` could not be imported; ``extra`` is the extra of redetail that installs it.
    """

    def __init__(self, package: str, extra: str) -> None:
        self.package, self.extra = package, extra
        super().__init__(f"{package} is not installed; install it with: pip install 'redetail[{extra}]'")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.package, self.extra)


class Cancelled(Exception):
    """Work was stopped on request; nothing was written."""


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant; None if no name is similar.

    Case is ignored, and underscores count as hyphens. Among several similar names, one with swapped letters is
    preferred. A number is never taken for another number.
    """
    if not any(map(str.isalpha, name)):
        return None
    typed, spelled = _spelled(name), {_spelled(one): one for one in reversed(list(known))}
    near = sorted(get_close_matches(typed, spelled, 3, 0.65), key=lambda one: sorted(one) != sorted(typed))
    return spelled[near[0]] if near else None


def _spelled(name: str) -> str:
    return name.lower().replace("_", "-")
