"""Filters by size and sharpness, for subjects that need no detailing or are too small for it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from redetail.documents import WrongKindError, number, shown
from redetail.errors import SettingsError
from redetail.selection.base import CommandOption
from redetail.selection.filter_base import Filter
from redetail.selection.stretches import smaller_stretches
from redetail.selection.subjects import FoundSubject


class NumberFilter(Filter[float]):
    """A filter whose value is a number."""

    @staticmethod
    def read(value: Any) -> float:
        """A number."""
        return number(value)


@dataclass(frozen=True)
class SizeFilter(NumberFilter):
    """Leaves out subjects that are smaller than a value in pixels, by the median over time of the box's shorter
    side."""

    name: ClassVar[str] = "min_size"
    option: ClassVar[CommandOption] = CommandOption(
        "PIXELS", "leave out subjects if the shorter side of their box is below this many pixels", float
    )

    def __post_init__(self) -> None:
        if not (self.value >= 0 and math.isfinite(self.value)):
            raise SettingsError(f"min-size is {self.value:g}; it must be at least 0 pixels.")

    def left_out(self, subjects: Sequence[FoundSubject]) -> Mapping[int, str]:
        """The subjects that are smaller."""
        return {
            one.number: f"{one.side:.0f} pixels is below the minimum of {self.value:g}"
            for one in subjects
            if one.side < self.value
        }


@dataclass(frozen=True)
class SmallerFilter(NumberFilter):
    """Details subjects only in frames in which the shorter side of their box is below a value in pixels."""

    name: ClassVar[str] = "only_smaller_than"
    option: ClassVar[CommandOption] = CommandOption(
        "PIXELS",
        "detail subjects only in frames in which the shorter side of their box is below this many pixels",
        float,
    )

    def __post_init__(self) -> None:
        if not (self.value > 0 and math.isfinite(self.value)):
            raise SettingsError(f"only-smaller-than is {self.value:g}; it must be above 0 pixels.")

    def left_out(self, subjects: Sequence[FoundSubject]) -> Mapping[int, str]:
        """The subjects that are never that small for long enough; :mod:`redetail.selection.gates` cuts the others."""
        return {
            one.number: f"{one.side:.0f} pixels is not below the limit of {self.value:g}"
            for one in subjects
            if not any(smaller_stretches(sides, self.value) for sides in one.sides)
        }


@dataclass(frozen=True)
class SofterFilter(NumberFilter):
    """Leaves out subjects that are already sharp, as measured in their frames."""

    name: ClassVar[str] = "only_softer_than"
    option: ClassVar[CommandOption] = CommandOption(
        "X", "leave out subjects sharper than this: 1 is sharp, 0.6 is typical of a picture enlarged twofold", float
    )

    def __post_init__(self) -> None:
        if not (self.value > 0 and math.isfinite(self.value)):
            raise SettingsError(f"only-softer-than is {self.value:g}; it must be a number above 0, such as 0.7.")

    def left_out(self, subjects: Sequence[FoundSubject]) -> Mapping[int, str]:
        """The subjects that are sharper; subjects too small to be measured are detailed."""
        return {
            one.number: f"sharpness {one.sharpness:.2f} is not below the limit of {self.value:g}"
            for one in subjects
            if one.sharpness is not None and one.sharpness >= self.value
        }


@dataclass(frozen=True)
class LargestFilter(Filter[int]):
    """Keeps the given number of subjects: those with the largest boxes (median over time)."""

    name: ClassVar[str] = "largest"
    option: ClassVar[CommandOption] = CommandOption(
        "N", "of the subjects that are left, detail only the N largest", int
    )

    @staticmethod
    def read(value: Any) -> int:
        """A whole number."""
        if isinstance(value, bool) or not isinstance(value, int):
            raise WrongKindError("a whole number")
        return value

    def __post_init__(self) -> None:
        if self.value < 1:
            raise SettingsError(f"largest is {shown(self.value)}; it must be at least 1.")

    def left_out(self, subjects: Sequence[FoundSubject]) -> Mapping[int, str]:
        """The subjects with smaller boxes; among equal ones, those that come later."""
        ranked = sorted(subjects, key=lambda one: -one.side)
        return {one.number: f"not among the {self.value} largest" for one in ranked[self.value :]}
