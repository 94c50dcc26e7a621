"""The size of an output relative to its source."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

from redetail.documents import shown
from redetail.errors import SettingsError
from redetail.region import Size
from redetail.settings import MAX_RESOLUTION

MAX_FACTOR = 8
MIN_HEIGHT = 16


@dataclass(frozen=True, slots=True)
class Scale:
    """A value up to 8 is the ratio of each side of the output to the source's; a whole number from 16 on is the height.

    Raises :class:`~redetail.errors.SettingsError` for other values.
    """

    value: float = 1.0

    def __post_init__(self) -> None:
        value = self.value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _wrong(value)
        if not (1 <= value <= MAX_FACTOR or (MIN_HEIGHT <= value <= MAX_RESOLUTION and value == int(value))):
            raise _wrong(value)

    @classmethod
    def of(cls, given: Any) -> Self:
        """The scale that is given as a number or as text ("1.5", "720", "720p"); a scale is returned as it is."""
        if isinstance(given, cls):
            return given
        if isinstance(given, str):
            try:
                given = float(given.removesuffix("p"))
            except ValueError as error:
                raise _wrong(given) from error
        return cls(given)

    def size(self, source: Size) -> Size:
        """The size of the output for frames of size ``source``. Its sides are even, which all codecs accept, unless
        nothing is enlarged.

        Raises :class:`~redetail.errors.SettingsError` for a height below the source's and for a size that no codec
        accepts.
        """
        factor = self.value if self.value <= MAX_FACTOR else self.value / source.height
        if factor < 1:
            raise SettingsError(
                f"scale asks for a height of {self.value:g} pixels, but frames can only be enlarged; give at least the "
                f"source's height, {source.height} pixels."
            )
        if factor == 1:
            return source
        size = Size(_even(source.width * factor), _even(source.height * factor))
        if max(size.width, size.height) > MAX_RESOLUTION:
            raise SettingsError(
                f"scale is {self.value:g}, which makes frames of {size} pixels, but a side can be at most "
                f"{MAX_RESOLUTION} pixels long; give a smaller scale."
            )
        return size


def ratios(source: Size, output: Size) -> tuple[float, float]:
    """Pixels of the output per pixel of the source, across and down."""
    return output.width / source.width, output.height / source.height


def _even(side: float) -> int:
    return 2 * math.ceil(side / 2 - 0.5)


def _wrong(value: Any) -> SettingsError:
    return SettingsError(
        f"scale is {shown(value)}; give a factor from 1 to {MAX_FACTOR}, or a height from {MIN_HEIGHT} to "
        f"{MAX_RESOLUTION} pixels."
    )
