from dataclasses import replace

import numpy as np
import pytest

from redetail.errors import RegionError, SettingsError
from redetail.region import Box, Detection
from redetail.tracking import Track, Tracker


def face(x: float, y: float, side: float = 40, confidence: float = 0.9, label: str = "face") -> Detection:
    return Detection(Box(x - side / 2, y - side / 2, x + side / 2, y + side / 2), confidence, label)


def tracked(frames: list[list[Detection]], cuts: tuple[int, ...] = (), **options: float) -> list[Track]:
    tracker = Tracker(**options)
    for index, detections in enumerate(frames):
        tracker.update(index, detections, cut=index in cuts)
    return tracker.finish()


def centers(track: Track) -> np.ndarray:
    return (track.boxes[:, :2] + track.boxes[:, 2:]) / 2


def test_one_face_is_one_track() -> None:
    (track,) = tracked([[face(100 + 3 * i, 80)] for i in range(30)])
    assert (track.start, track.stop, len(track)) == (0, 30, 30)
    assert track.detected.all()
    assert track.confidence == pytest.approx(0.9)
    np.testing.assert_allclose(centers(track)[:, 0], 100 + 3 * np.arange(30))


def test_gaps_are_filled_linearly() -> None:
    frames = [[] if 10 <= i < 20 else [face(100 + 3 * i, 80)] for i in range(30)]
    (track,) = tracked(frames)
    np.testing.assert_allclose(centers(track)[:, 0], 100 + 3 * np.arange(30))
    assert np.flatnonzero(~track.detected).tolist() == list(range(10, 20))


def test_second_opinions_are_averaged_over_the_detections_that_have_one() -> None:
    asked = [replace(face(100, 80), second_opinion=value) for value in (0.5, None, -0.1)]
    assert tracked([[one] for one in asked] * 2)[0].second_opinion == pytest.approx(0.2)
    assert tracked([[face(100, 80)]] * 6)[0].second_opinion is None


def test_a_gap_that_is_too_long_ends_the_track() -> None:
    frames = [[] if 10 <= i < 20 else [face(100, 80)] for i in range(30)]
    assert [(t.start, t.stop) for t in tracked(frames, max_gap=9)] == [(0, 10), (20, 30)]
    assert [(t.start, t.stop) for t in tracked(frames, max_gap=11)] == [(0, 30)]


def test_a_subject_that_is_unseen_for_long_is_two_tracks_of_one_person() -> None:
    for hidden, spans in ((12, [(0, 40 + 12, None)]), (13, [(0, 20, 1), (33, 53, 1)])):
        frames = [[face(100, 80)]] * 20 + [[]] * hidden + [[face(100, 80)]] * 20
        assert [(t.start, t.stop, t.person) for t in tracked(frames)] == spans
    every_20th = Tracker()  # frames that were not looked at hide nobody
    for index in range(0, 200, 20):
        every_20th.update(index, [face(100, 80)])
    assert [(t.start, t.stop) for t in every_20th.finish()] == [(0, 181)]


def test_a_late_glimpse_does_not_undo_a_track() -> None:
    frames = [[face(100, 80)]] * 12 + [[]] * 23 + [[face(100, 80)]] * 2 + [[]] * 10
    assert [(t.start, t.stop, t.person) for t in tracked(frames)] == [(0, 12, None)]


def test_what_was_never_sure_is_not_waited_for() -> None:
    hand, later = face(100, 80, confidence=0.4), face(104, 80)
    frames = [[hand]] * 3 + [[]] * 6 + [[later]] * 20
    assert [(t.start, t.stop) for t in tracked(frames)] == [(9, 29)]
    assert [(t.start, t.stop) for t in tracked([[hand]] * 3 + [[]] * 3 + [[later]] * 20)] == [(6, 26)]
    assert [(t.start, t.stop) for t in tracked([[hand]] * 3 + [[]] * 2 + [[later]] * 20)] == [(0, 25)]


def test_a_cut_ends_every_track() -> None:
    tracks = tracked([[face(100, 80), face(300, 80)] for _ in range(30)], cuts=(12,))
    assert sorted((t.start, t.stop) for t in tracks) == [(0, 12), (0, 12), (12, 30), (12, 30)]


def test_unsure_detections_continue_a_track_and_may_begin_it() -> None:
    confidences = [0.3] * 5 + [0.9] * 10 + [0.3] * 10
    (track,) = tracked([[face(100, 80, confidence=c)] for c in confidences])
    assert (track.start, track.stop) == (0, 25)


def test_what_is_never_sure_is_nobody() -> None:
    assert tracked([[face(100, 80, confidence=0.55)] for _ in range(60)]) == []


def test_what_is_short_is_nobody() -> None:
    frames = [[face(100, 80)] if 10 <= i < 14 else [] for i in range(30)]
    assert tracked(frames) == []
    assert len(tracked(frames, min_hits=4)) == 1


def test_what_appears_now_and_then_is_nobody() -> None:
    assert tracked([[face(100, 80)] if i % 4 == 0 else [] for i in range(60)]) == []


def test_what_is_seldom_sure_is_nobody_unless_it_was_certain() -> None:
    def clip(high: float) -> list[list[Detection]]:
        return [[face(100, 80, confidence=high if i % 5 == 0 else 0.4)] for i in range(60)]

    assert tracked(clip(0.7)) == []
    (track,) = tracked(clip(0.85))
    assert len(track) == 60


def test_a_short_clip_and_a_still_have_their_faces() -> None:
    assert len(tracked([[face(100, 80)]])) == 1
    assert len(tracked([[face(100, 80)], [face(101, 80)]])) == 1


def test_two_people_who_pass_each_other_stay_who_they_are() -> None:
    frames = [[face(100 + 6 * i, 100), face(400 - 6 * i, 130)] for i in range(50)]
    tracks = tracked(frames)
    assert len(tracks) == 2
    for track in tracks:
        steps = np.diff(centers(track)[:, 0])
        assert (np.sign(steps) == np.sign(steps[0])).all()


def test_a_passer_by_who_hides_a_face_does_not_steal_it() -> None:
    frames = []
    for i in range(60):
        walker = face(-40 + 10 * i, 95, side=48)
        resting = face(250, 80, side=30)
        frames.append([walker] if resting.box.iou(walker.box) > 0.05 else [resting, walker])
    tracks = sorted(tracked(frames), key=lambda track: float(np.ptp(centers(track)[:, 0])))
    assert len(tracks) == 2
    np.testing.assert_allclose(centers(tracks[0]), np.tile([250, 80], (60, 1)), atol=1e-9)
    assert not tracks[0].detected.all()
    np.testing.assert_allclose(np.diff(centers(tracks[1])[:, 0]), 10)


def test_a_small_fast_face_stays_one() -> None:
    (track,) = tracked([[face(20 + 18 * i, 80, side=26)] for i in range(20)])
    assert len(track) == 20


def test_another_kind_is_another_subject() -> None:
    frames = [[face(100, 80)] if i < 10 else [face(100, 80, label="hand")] for i in range(20)]
    assert [t.label for t in tracked(frames)] == ["face", "hand"]


def test_every_fifth_frame_is_enough() -> None:
    tracker = Tracker()
    for index in range(0, 61, 5):
        tracker.update(index, [face(100 + index, 80)])
    (track,) = tracker.finish()
    assert len(track) == 61
    np.testing.assert_allclose(centers(track)[:, 0], 100 + np.arange(61))


def test_doubles_are_dropped() -> None:
    frames = [[face(100, 80), face(106, 84, side=44, confidence=0.7)] for _ in range(20)]
    (track,) = tracked(frames)
    assert track.confidence == pytest.approx(0.9)


def test_many_faces_among_noise() -> None:
    rng = np.random.default_rng(0)
    homes = [(80 + 120 * i, 60 + 100 * j) for i in range(4) for j in range(3)]
    frames = []
    for _ in range(50):
        seen = [face(x + rng.normal(), y + rng.normal(), 40 + rng.normal()) for x, y in homes if rng.random() < 0.8]
        false = [face(*rng.uniform(0, 500, 2), rng.uniform(10, 60), rng.uniform(0.25, 0.55)) for _ in range(3)]
        frames.append([*seen, *false])
    tracks = tracked(frames)
    assert len(tracks) == len(homes)
    found = sorted(tuple(np.rint(np.median(centers(track), axis=0)).astype(int)) for track in tracks)
    assert np.abs(np.array(found) - np.array(sorted(homes))).max() <= 2
    assert min(len(track) for track in tracks) > 40


def test_finish_empties_the_tracker() -> None:
    tracker = Tracker()
    assert tracker.finish() == []
    tracker.update(7, [face(100, 80)])
    assert len(tracker.finish()) == 1
    tracker.update(0, [face(100, 80)])
    assert [t.start for t in tracker.finish()] == [0]


def test_frames_out_of_order() -> None:
    tracker = Tracker()
    tracker.update(5, [])
    with pytest.raises(RegionError, match="Frame 5 came after frame 5"):
        tracker.update(5, [])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sure": 0.2}, "unsure"),
        ({"sure": float("nan")}, "nan"),
        ({"sure": 1.2}, r"1\.2"),
        ({"max_gap": 0}, "max-gap is 0"),
        ({"min_hits": 0}, "min-hits is 0"),
    ],
)
def test_options_out_of_range(options: dict, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Tracker(**options)
