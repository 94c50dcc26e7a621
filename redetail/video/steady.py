"""Repairs the timestamps of copied packets that step back, jump ahead or are missing in a damaged file.

Muxers refuse such packets, and a single one could make a run fail after hours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from av.packet import Packet


class Steady:
    """Passes on packets of several streams; those of sound get timestamps that never step back.

    A packet of sound is held until the next packet of its stream shows which of the two timestamps is wrong.
    ``repaired`` counts the packets that were wrong by more than a packet's duration. Subtitles are passed on at once,
    since the next one can be minutes away.
    """

    def __init__(self) -> None:
        self.repaired = 0
        self._held: dict[int, Packet[Any]] = {}
        self._last: dict[int, tuple[int, int]] = {}  # timestamp and duration: a muxer changes its packets

    def __call__(self, packets: Iterable[Packet[Any]]) -> Iterator[Packet[Any]]:
        """The same packets."""
        for packet in packets:
            if packet.stream.type != "audio":
                if _stamp(packet) is not None:
                    yield packet
                continue
            held = self._held.get(packet.stream.index)
            self._held[packet.stream.index] = packet
            if held is not None and self._settled(held, packet):
                yield held
        for held in self._held.values():
            if self._settled(held, None):
                yield held

    def _settled(self, packet: Packet[Any], following: Packet[Any] | None) -> bool:
        """Whether the packet has a place in time; it gets one if that can be determined."""
        stamp = _stamp(packet)
        low, step = self._last.get(packet.stream.index, (None, 0))
        high = None if following is None else _stamp(following)
        behind = stamp is not None and low is not None and stamp < low
        ahead = stamp is not None and high is not None and _jumps_ahead(stamp, high, low, step)
        if stamp is None or behind or ahead:
            # Containers round times, and give none to packets that they store together; that is not damage.
            self.repaired += ahead or (stamp is not None and low is not None and low - stamp > step)
            stamp = _between(low, step, high, packet.duration or 0)
            if stamp is None:
                return False
            packet.pts = packet.dts = stamp
        self._last[packet.stream.index] = stamp, packet.duration or 0
        return True


def _jumps_ahead(stamp: int, high: int, low: int | None, step: int) -> bool:
    """Whether, if the next timestamp is earlier, this one is wrong because it is farther from where it should be."""
    if high >= stamp:
        return False
    return low is None or (low < high and abs(stamp - low - step) > abs(high - low - step))


def _between(low: int | None, step: int, high: int | None, duration: int) -> int | None:
    """The time of a packet that comes ``step`` after ``low`` and before ``high``; None if neither is known."""
    if low is not None:
        following = low + max(1, step)
        return following if high is None or high <= low else min(following, high)
    return None if high is None else high - max(1, duration)


def _stamp(packet: Packet[Any]) -> int | None:
    return packet.dts if packet.dts is not None else packet.pts
