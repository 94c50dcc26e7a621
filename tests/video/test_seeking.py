"""Parts of files are those of the whole, to the bit, wherever decoding begins."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from redetail.errors import InputError
from redetail.video import array_source, open_source
from redetail.video.base import Frame
from redetail.video.seeking import FIRST, go_to_index, go_to_pts

COUNT = 40
SHORT = {"g": "7", "bf": "3"}
MILLI = Fraction(1, 1000)
UNEVEN = [0, 33, 70, 100, 133, 200, 201, 250, 300, 400, *range(450, 450 + 30 * 37, 37)]

# Name, codec, pixel format, options of the codec and of the container.
SOUGHT: dict[str, tuple[str, str, str, dict[str, str], dict[str, str]]] = {
    "h264": ("a.mp4", "libx264", "yuv420p", SHORT, {}),
    "h264, open groups": ("a.mp4", "libx264", "yuv420p", SHORT | {"x264-params": "open-gop=1"}, {}),
    "hevc, open groups": (
        "a.mp4", "libx265", "yuv420p", {"x265-params": "keyint=7:min-keyint=7:open-gop=1:bframes=3:log-level=none"}, {},
    ),
    "hevc, closed groups": (
        "a.mov", "libx265", "yuv420p", {"x265-params": "keyint=7:min-keyint=7:open-gop=0:bframes=3:log-level=none"}, {},
    ),
    "prores": ("a.mov", "prores_ks", "yuv422p10le", {}, {}),
    "vp9": ("a.mp4", "libvpx-vp9", "yuv420p", {"g": "7", "deadline": "realtime", "cpu-used": "8"}, {}),
    "mpeg4": ("a.mp4", "mpeg4", "yuv420p", {"g": "7", "bf": "2"}, {}),
    "groups of two": ("a.mp4", "libx264", "yuv420p", {"g": "2", "bf": "3"}, {}),
    "without edit list": ("a.mp4", "libx264", "yuv420p", SHORT, {"use_editlist": "0"}),
    "negative offsets": ("a.mp4", "libx264", "yuv420p", SHORT, {"movflags": "negative_cts_offsets"}),
}  # fmt: skip
READ_FROM_THE_START: dict[str, tuple[str, str, str, dict[str, str], dict[str, str]]] = {
    "matroska": ("a.mkv", "libx264", "yuv420p", SHORT, {}),
    "transport stream": ("a.ts", "libx264", "yuv420p", SHORT, {}),
    "avi": ("a.avi", "mpeg4", "yuv420p", {"g": "7", "bf": "2"}, {}),
    "webm": ("a.webm", "libvpx-vp9", "yuv420p", {"g": "7", "deadline": "realtime", "cpu-used": "8"}, {}),
    "gif": ("a.gif", "gif", "rgb8", {}, {}),
    "fragments": ("a.mp4", "libx264", "yuv420p", SHORT, {"movflags": "frag_keyframe+empty_moov"}),
}  # fmt: skip


@pytest.fixture
def clip(request: pytest.FixtureRequest, make_clip, gradients) -> Path:
    name, codec, pixel_format, options, container = (SOUGHT | READ_FROM_THE_START)[request.param]
    return make_clip(name, gradients(COUNT, 64, 64), codec=codec, pixel_format=pixel_format, options=options,
                     container_options=container)  # fmt: skip


def same(part: list[Frame], whole: list[Frame]) -> bool:
    return [(f.index, f.pts, f.duration) for f in part] == [(f.index, f.pts, f.duration) for f in whole] and all(
        np.array_equal(a.pixels, b.pixels) for a, b in zip(part, whole, strict=True)
    )


@pytest.mark.parametrize("clip", [*SOUGHT, *READ_FROM_THE_START], indirect=True)
def test_a_part_is_that_of_the_whole(clip: Path) -> None:
    source = open_source(clip)
    whole = list(source.frames())
    assert len(whole) == COUNT
    for start in range(0, COUNT + 2):
        assert same(list(source.frames(start, start + 3)), whole[start : start + 3]), start
    assert same(list(source.frames(25)), whole[25:])
    assert list(source.frames(30, 20)) == []


@pytest.mark.parametrize("clip", [*SOUGHT, *READ_FROM_THE_START], indirect=True)
def test_times_lead_to_the_first_frame_shown_then_or_later(clip: Path) -> None:
    source = open_source(clip)
    assert source.info.time_base
    times = [(frame.pts - first) * source.info.time_base for frame in source.frames() for first in [_first(source)]]
    assert source.index_at(Fraction(0)) == 0
    for index, time in enumerate(times):
        assert source.index_at(time) == index
        assert source.index_at(time + MILLI / 100) == index + 1
    assert source.index_at(Fraction(1000)) == COUNT


def _first(source: Any) -> int:
    pts = next(source.frames()).pts
    assert pts is not None
    return pts


@pytest.mark.parametrize("clip", SOUGHT, indirect=True)
def test_decoding_begins_shortly_before(clip: Path) -> None:
    longest = 2 * 7  # two groups: the last key frame can turn out to be shown after what is sought
    for frame in open_source(clip).frames():
        assert frame.pts is not None
        for go, place in ((go_to_index, frame.index), (go_to_pts, frame.pts)):
            with av.open(str(clip)) as container:
                key = go(container, container.streams.video[0], place)
            assert key is not None
            assert frame.index - longest < key.index <= frame.index


@pytest.mark.parametrize("clip", READ_FROM_THE_START, indirect=True)
def test_without_a_list_of_all_frames_nothing_is_sought(clip: Path) -> None:
    with av.open(str(clip)) as container:
        assert go_to_index(container, container.streams.video[0], 30) == FIRST


def test_uneven_times(make_clip, gradients) -> None:
    path = make_clip("a.mp4", gradients(COUNT, 64, 64), pts=UNEVEN, time_base=MILLI, options=SHORT,
                     container_options={"video_track_timescale": "1000"})  # fmt: skip
    source = open_source(path)
    whole = list(source.frames())
    assert [frame.pts for frame in whole] == UNEVEN
    for index, pts in enumerate(UNEVEN):
        assert source.index_at(pts * MILLI) == index
        assert same(list(source.frames(index, index + 2)), whole[index : index + 2])


def test_a_clip_that_begins_late_counts_from_its_first_frame(make_clip, gradients) -> None:
    path = make_clip("a.mp4", gradients(COUNT, 64, 64), pts=range(50, 50 + COUNT), options=SHORT)
    source = open_source(path)
    assert source.index_at(Fraction(1)) == 25
    assert next(source.frames(25)).index == 25


@pytest.mark.parametrize("start", [0, 30, 38])
def test_what_is_missing_at_the_end_is_noticed_from_anywhere(make_clip, gradients, start: int) -> None:
    path = make_clip("a.mp4", gradients(COUNT, 64, 64), options=SHORT, container_options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match="damaged or cut short"):
        list(open_source(path).frames(start))


def test_a_key_frame_that_cannot_be_decoded_is_not_begun_at(make_clip, gradients) -> None:
    """A list may call frames key frames that are none: then all is decoded from the beginning."""
    options = {"g": "100", "bf": "0", "sc_threshold": "0"}
    path = make_clip("a.mp4", gradients(COUNT, 64, 64), options=options)
    whole = list(open_source(path).frames())
    data = path.read_bytes()
    at = data.index(b"stss")
    assert int.from_bytes(data[at + 8 : at + 12]) == 1
    # Without the table of key frames all frames are said to be some.
    path.write_bytes(data[:at] + b"free" + data[at + 4 :])
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert sum(entry.is_keyframe for entry in stream.index_entries) == COUNT
        assert go_to_index(container, stream, 30) is None
    assert same(list(open_source(path).frames(30, 33)), whole[30:33])


@pytest.mark.parametrize("kind", ["array", "folder", "webp"])
def test_times_of_sources_that_are_no_video(kind: str, tmp_path: Path, gradients) -> None:
    pictures = [Image.fromarray(pixels) for pixels in gradients(4, 16, 16)]
    if kind == "webp":
        pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:], duration=[100, 50, 200, 100])
        source, begins = open_source(tmp_path / "a.webp"), [0, 100, 150, 350]
    elif kind == "folder":
        for number, picture in enumerate(pictures):
            picture.save(tmp_path / f"{number}.png")
        source, begins = open_source(tmp_path, rate=10), [0, 100, 200, 300]
    else:
        source, begins = array_source(gradients(4, 16, 16), 10), [0, 100, 200, 300]
    for index, begin in enumerate(begins):
        assert source.index_at(begin * MILLI) == index
        assert source.index_at((begin + 1) * MILLI) == index + 1
    assert source.index_at(Fraction(99)) == 4
