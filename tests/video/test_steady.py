"""Damaged sound: timestamps that step back or jump ahead are repaired, what no muxer takes is left out."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redetail.errors import InputError
from redetail.video import open_sink, open_source
from redetail.video.steady import Steady

PACKET, SOUND = 188, 257  # bytes, and FFmpeg's PID of the second stream


def packets(*stamps: int | None, duration: int = 10, kind: str = "audio") -> list[SimpleNamespace]:
    stream = SimpleNamespace(index=1, type=kind)
    return [SimpleNamespace(stream=stream, pts=stamp, dts=stamp, duration=duration) for stamp in stamps]


@pytest.mark.parametrize(
    ("given", "wanted", "repaired"),
    [
        ((0, 10, 20, 30), (0, 10, 20, 30), 0),
        ((0, 10, -5, 30), (0, 10, 20, 30), 1),  # one steps back
        ((0, 10, 9, 30), (0, 10, 20, 30), 0),  # by rounding
        ((0, 10, 900, 30), (0, 10, 20, 30), 1),  # one jumps ahead
        ((900, 10, 20), (0, 10, 20), 1),  # the first one does
        ((0, None, 20), (0, 10, 20), 0),  # stored together
        ((50, 60, 0, 10, 20), (50, 60, 70, 80, 90), 3),  # the clock starts again
        ((0, 10, 10, 20), (0, 10, 10, 20), 0),  # equal in coarse ticks
        ((None,), (), 0),
    ],
)
def test_time_stamps_that_cannot_be(given, wanted, repaired):
    steady = Steady()
    assert tuple(packet.dts for packet in steady(packets(*given))) == wanted
    assert steady.repaired == repaired


@given(st.lists(st.integers(0, 1000) | st.none(), max_size=20))
def test_they_never_step_back(stamps):
    result = [packet.dts for packet in Steady()(packets(*stamps))]
    assert result == sorted(result)


@given(st.lists(st.integers(0, 1000), max_size=20))
def test_sound_ones_are_left_alone(stamps):
    steady = Steady()
    assert [packet.dts for packet in steady(packets(*sorted(stamps)))] == sorted(stamps)
    assert steady.repaired == 0


def test_subtitles_are_not_held_back():
    one, two = packets(0, 100, kind="subtitle")
    steady = Steady()(iter([one, two]))
    assert next(steady) is one


def copied(path: Path, output: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What the sink and what the source told."""
    source = open_source(path)
    with open_sink(output, source) as sink:
        for frame in source.frames():
            sink.write(frame)
    return sink.faults, source.faults


def sound_blocks(data: bytes) -> list[int]:
    """Where the timestamps of the second track's simple blocks are in a Matroska file."""
    found, at = [], 0
    while (at := data.find(b"\xa3", at)) >= 0:
        length = 9 - data[at + 1].bit_length()
        size = int.from_bytes(data[at + 1 : at + 1 + length], "big") & ((1 << 7 * length) - 1)
        block = at + 1 + length
        if (
            data[block] == 0x82
            and size < 20000
            and data[block + size : block + size + 1] in (b"\xa3", b"\xa0", b"\x1c")
        ):
            found.append(block + 1)
            at = block + size
        else:
            at += 1
    return found


@pytest.mark.parametrize("name", ["out.mkv", "out.mp4"])
def test_a_time_stamp_of_sound_that_steps_back_does_not_fail_the_output(make_clip, gradients, tmp_path, packets, name):
    path = make_clip("a.mkv", gradients(30, 32, 32), audio="aac", audio_seconds=1.2)
    sound = packets(path, "audio")
    data = bytearray(path.read_bytes())
    at = sound_blocks(data)[20]
    data[at : at + 2] = (5).to_bytes(2, "big")
    path.write_bytes(data)
    told, faults = copied(path, tmp_path / name)
    assert told == ("The sound of a.mkv is damaged; timestamps were repaired (1 packet).",)
    assert "The sound of" in faults[0]
    with pytest.raises(InputError, match=r"sound of .* is damaged.*; use an intact copy"):
        list(open_source(path, strict=True).frames())
    result = packets(tmp_path / name, "audio")
    assert [data for _, data in result] == [data for _, data in sound]
    assert [time for time, _ in result] == pytest.approx([time for time, _ in sound], abs=0.002)


@pytest.mark.parametrize("name", ["out.mkv", "out.mp4"])
@pytest.mark.parametrize("seed", range(3))
def test_lost_packets_of_sound_do_not_fail_the_output(make_clip, gradients, tmp_path, packets, name, seed):
    path = make_clip("a.ts", gradients(30, 32, 32), audio="aac", audio_seconds=1.2)
    whole, data = len(packets(path, "audio")), path.read_bytes()
    parts = [data[at : at + PACKET] for at in range(0, len(data), PACKET)]
    sound = [at for at, part in enumerate(parts) if (part[1] & 31) << 8 | part[2] == SOUND]
    lost = set(random.Random(seed).sample(sound[2:], 2))
    path.write_bytes(b"".join(part for at, part in enumerate(parts) if at not in lost))
    told, _ = copied(path, tmp_path / name)
    assert any("what cannot be copied is left out" in sentence for sentence in told)
    left = len(packets(path, "audio"))
    assert left - 4 <= len(packets(tmp_path / name, "audio")) < left < whole
