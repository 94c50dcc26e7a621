import os
from types import SimpleNamespace
from weakref import ref

import numpy as np
import pytest

from redetail.errors import InputError
from redetail.pipeline.memory import kept_pictures
from redetail.video import open_source
from redetail.video.file_source import FileSource
from redetail.video.kept import KeptPictures
from tests.clips import CLIPS

PICTURE = 350 * 350 * 3 // 2  # bytes of a frame of the clip, but for padding


@pytest.fixture
def decoded(monkeypatch):
    """Counts how often a pass decodes."""
    passes, own = [], FileSource._decoding
    monkeypatch.setattr(FileSource, "_decoding", lambda self, *span: passes.append(span) or own(self, *span))
    return passes


def shown(source, *span):
    return [(frame.index, frame.pts, frame.duration, frame.pixels) for frame in source.frames(*span)]


def same(one, other):
    return [a[:3] for a in one] == [b[:3] for b in other] and all(
        np.array_equal(a[3], b[3]) for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize(
    ("first", "then"),
    [((0, None), (0, None)), ((0, None), (3, 9)), ((2, 12), (2, 12)), ((2, 12), (5, 7)), ((0, None), (60, 100))],
)
def test_a_clip_that_fits_is_decoded_once(first, then, decoded):
    source = open_source(CLIPS / "guitarist.mp4", keep=2**27)
    shown(source, *first)
    again = shown(source, *then)
    assert decoded == [first]
    assert same(again, shown(open_source(CLIPS / "guitarist.mp4"), *then))


@pytest.mark.parametrize(("first", "then"), [((2, 12), (0, 12)), ((2, 12), (2, 13)), ((2, 12), (2, None))])
def test_frames_that_were_not_kept_are_decoded(first, then, decoded):
    source = open_source(CLIPS / "guitarist.mp4", keep=2**27)
    shown(source, *first)
    assert same(shown(source, *then), shown(open_source(CLIPS / "guitarist.mp4"), *then))
    assert decoded[:2] == [first, then]


class Picture:
    """A picture of 10 bytes."""

    planes = (SimpleNamespace(buffer_size=10),)


def passing(count):
    for index in range(count):
        yield index, None, Picture(), None


def test_once_a_pass_did_not_fit_the_next_one_holds_nothing_on_its_way():
    kept = KeptPictures(25)
    assert len([*kept.keep(passing(3), 0, None)]) == 3
    seen = []
    for _, _, picture, _ in kept.keep(passing(2), 0, None):
        assert not any(one() for one in seen)
        seen.append(ref(picture))
        del picture
    assert len(seen) == 2


@pytest.mark.parametrize("keep", [0, 5 * PICTURE])
def test_a_clip_that_does_not_fit_is_decoded_again_and_nothing_of_it_stays(keep, decoded):
    source = open_source(CLIPS / "guitarist.mp4", keep=keep)
    shown(source, 0, 12)
    shown(source, 0, 12)
    assert len(decoded) == 2
    assert not source._kept._pictures


def test_a_pass_that_is_broken_off_is_not_kept(decoded):
    source = open_source(CLIPS / "guitarist.mp4", keep=2**27)
    frames = source.frames()
    next(frames)
    frames.close()
    assert len(shown(source)) == 69
    assert len(decoded) == 2


def test_a_file_that_changes_is_refused_although_its_pictures_are_there(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes((CLIPS / "guitarist.mp4").read_bytes())
    source = open_source(path, keep=2**27)
    shown(source)
    os.utime(path, ns=(1, 1))
    with pytest.raises(InputError, match="changed or replaced"):
        shown(source)


@pytest.mark.parametrize(("limit", "kept"), [(10**8, 6_250_000), (10**12, 2**27), (0, 0)])
def test_a_run_keeps_a_small_share_of_its_memory(limit, kept):
    assert kept_pictures(limit) == kept
