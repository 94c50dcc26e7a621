"""Pixels added around a crop so that its sides are multiples of what an engine needs."""

from __future__ import annotations

from typing import NamedTuple

from redetail.region import Size


class Padding(NamedTuple):
    """Pixels added at each side."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def to_multiple(cls, size: Size, multiple: int) -> Padding:
        """The least padding that makes both sides multiples of ``multiple``; an odd pixel goes right or below."""
        across, down = -size.width % multiple, -size.height % multiple
        return cls(across // 2, down // 2, across - across // 2, down - down // 2)

    def padded(self, size: Size) -> Size:
        """The size with this padding around it."""
        return Size(size.width + self.left + self.right, size.height + self.top + self.bottom)
