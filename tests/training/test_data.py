"""Training samples: cut where they should be, equal for equal seeds, each kind of damage apart."""

from __future__ import annotations

import dataclasses
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch


def in_unit(frames: np.ndarray, script, reach: int) -> np.ndarray:
    """The aligned differences of frames as they are stored."""
    data = script("data")
    return np.rint(np.stack([*data.aligned_differences(frames, reach)]) / data.CHANGE_UNIT).astype(np.int8)


def test_stages_are_the_degraded_clip_and_the_clip(script, prepared: Path) -> None:
    data, degrade = script("data"), script("degrade")
    clean = np.load(prepared / "a.webp.npy")[:6]
    for how in (degrade.Degradation(factor=2.0), degrade.Degradation(factor=3.4, codec="jpeg", quality=75)):
        stages = data.magnified(clean, degrade.damage(clean, how), how.up, 1.0)
        assert np.array_equal(stages[0], degrade.degrade(clean, how))
        assert np.array_equal(stages[3], clean)


def test_a_sample_is_a_window_of_everything(script) -> None:
    source = counted(script("data"))
    for seed in range(20):
        stages, changes, drafts, beside = source.sample(np.random.default_rng(seed), 32, 3)
        assert stages.shape == (4, 3, 32, 32, 3)
        assert changes.shape == beside.shape == (3, 2, 32, 32, 3)
        assert np.array_equal(stages[0], drafts)
        assert np.array_equal(stages[0], changes[:, 0])
        time, y, x = drafts[0, 0, 0]
        assert np.array_equal(drafts, source.arrays[2][time : time + 3, y : y + 32, x : x + 32])


def counted(data) -> Any:
    """A source whose every pixel says where it is: frame, row, column."""
    places = np.stack(np.meshgrid(np.arange(5), np.arange(48), np.arange(64), indexing="ij"), axis=-1).astype(np.uint8)
    beside = np.stack([places, places], axis=1)
    return data.Source((np.stack([places] * 4), beside, places, beside), np.empty((0, 4)))


def test_mirrored_samples_are_mirrored_in_everything(script) -> None:
    data = script("data")
    source = counted(data)
    before = [1, 2] * np.ones((5, 48, 64, 3, 1), np.uint8)
    stages, _, drafts, _ = source.arrays
    arrays = (stages, np.moveaxis(before, -1, 1), drafts, np.moveaxis(before, -1, 1))
    turned = data.mirrored(arrays, space=True, time=True)
    assert np.array_equal(turned[0], stages[:, ::-1, :, ::-1])
    assert np.array_equal(turned[2], drafts[::-1, :, ::-1])
    for beside in (turned[1], turned[3]):  # who came before now comes after
        assert (beside[:, 0] == 2).all()
        assert (beside[:, 1] == 1).all()
    assert all(
        np.array_equal(a, b) for a, b in zip(data.mirrored(arrays, space=False, time=False), arrays, strict=True)
    )


def test_zoom_magnifies_the_clip(script, prepared: Path) -> None:
    data, degrade = script("data"), script("degrade")
    clean = np.load(prepared / "a.webp.npy")[:1, :96, :96]
    zoomed = data.magnified(clean, degrade.damage(clean, degrade.Degradation()), "cubic", 2.0)[3]
    back = zoomed.reshape(1, 96, 2, 96, 2, 3).mean(axis=(2, 4))
    # Enlarging by cubic interpolation and averaging again blurs a little; a shift by a pixel would cost far more.
    assert np.abs(back - clean).mean() < 4
    assert np.abs(back[:, :-1, :-1] - clean[:, 1:, 1:]).mean() > 8


def test_what_is_cut_out_moves_its_subjects_along(script, monkeypatch: pytest.MonkeyPatch) -> None:
    data = script("data")
    monkeypatch.setattr(data, "FRAMES", 4)
    monkeypatch.setattr(data, "SIDE", 40)
    stages, subjects = counted(data).arrays[0], np.array([[2.0, 50.0, 20.0, 10.0]])
    for seed in range(20):
        part, found = data.cut(stages, subjects, np.random.default_rng(seed))
        assert part.shape == (4, 4, 32, 32, 3)  # multiples of 16
        moved = subjects[0, :3] - part[0, 0, 0, 0][[0, 2, 1]]
        assert np.array_equal(found[0], [*moved, 10.0])


def test_equal_seeds_give_equal_batches(script, prepared: Path) -> None:
    data = script("data")
    sizes = ((48, 2, 3), (64, 1, 2))
    first, second, other = (list(islice(data.Samples(prepared, seed, sizes, first=2), 3)) for seed in (3, 3, 4))
    assert [batch.stages.shape for batch in first] == [batch.stages.shape for batch in other]
    assert all(torch.equal(x, y) for a, b in zip(first, second, strict=True) for x, y in zip(a[:2], b[:2], strict=True))
    assert not all(torch.equal(a.stages, b.stages) for a, b in zip(first, other, strict=True))
    shapes = {(tuple(batch.stages.shape[1:]), tuple(batch.changes.shape[1:])) for batch in first}
    assert shapes <= {((4, 3, 48, 48, 3), (3, 6, 48, 48, 3)), ((4, 2, 64, 64, 3), (2, 6, 64, 64, 3))}


def test_stages_differ_only_by_what_was_done(script, prepared: Path) -> None:
    data, degrade = script("data"), script("degrade")

    def differ(**values: object) -> list[bool]:
        how = degrade.Degradation(**values)
        batch = next(iter(data.Samples(prepared, 0, ((64, 3, 2),), degradation=how, first=2)))
        coded, noisy, soft, clean = batch.stages.unbind(1)
        return [not torch.equal(a, b) for a, b in ((clean, soft), (soft, noisy), (noisy, coded))]

    assert differ() == [False, False, False]
    assert differ(factor=2.0) == [True, False, False]
    assert differ(noise=5.0) == [False, True, False]
    assert differ(codec="jpeg", quality=60) == [False, False, True]


def test_changes_are_those_of_the_frames_beside(script, prepared: Path) -> None:
    data, degrade = script("data"), script("degrade")
    how = degrade.Degradation(factor=2.0, codec="jpeg", quality=60)
    samples = data.Samples(prepared, 0, degradation=how, reach=2)
    stages, changes = samples.source(np.random.default_rng(0)).arrays
    assert np.array_equal(changes, in_unit(stages[0], script, 2))
    alone = samples.source(np.random.default_rng(0), alone=True).arrays
    assert np.array_equal(alone[0], stages)
    assert not alone[1].any()


def test_drafts_are_made_of_the_coded_frames(script, prepared: Path) -> None:
    data, degrade = script("data"), script("degrade")
    told = []

    def drafts(coded: np.ndarray, changes: np.ndarray, alone: bool) -> np.ndarray:
        told.append((coded, changes, alone))
        return coded // 2

    how = degrade.Degradation(factor=2.0, codec="jpeg", quality=60)
    samples = data.Samples(prepared, 0, ((48, 2, 3),), degradation=how, reach=2, first=2, drafts=drafts)
    stages, changes, made, beside = samples.source(np.random.default_rng(0)).arrays
    ((coded, seen, alone),) = told
    assert (np.array_equal(coded, stages[0]), np.array_equal(seen, changes), alone) == (True, True, False)
    assert np.array_equal(made, stages[0] // 2)
    assert beside.any()
    # Half the contrast, moved along the same flow: the differences are small enough to count nearly in full.
    assert np.corrcoef(beside.ravel(), changes.ravel())[0, 1] > 0.8
    batch = next(iter(samples))
    assert torch.equal(batch.drafts, batch.stages[:, 0] // 2)
    assert batch.beside.shape == batch.changes.shape == (2, 3, 4, 48, 48, 3)


def test_single_frames_are_drawn_from_clips_seen_alone(script, prepared: Path) -> None:
    data = script("data")
    batches = list(islice(data.Samples(prepared, 0, ((48, 2, 1),), first=9), 2))
    assert not any(batch.changes.any() for batch in batches)
    batches = list(islice(data.Samples(prepared, 0, ((48, 2, 3),), first=9), 2))
    assert any(batch.changes.any() for batch in batches)


def test_watched_files_are_not_trained_on(script, prepared: Path) -> None:
    data = script("data")
    trained = {row["name"] for row in data.Samples(prepared, 0).rows}
    watched = {row["name"] for row in data.Samples(prepared, 0, validation=True).rows}
    assert trained == {"a.webp", "c.webp", "still.webp"}
    assert watched == {"held3.webp"}


@pytest.mark.parametrize("frame", [0, 9])
def test_samples_lie_near_the_nearest_face(script, prepared: Path, frame: int) -> None:
    data = script("data")
    faces = np.array([[0, 50.0, 60.0, 20.0], [10, 150.0, 120.0, 20.0]])
    size = np.load(prepared / "a.webp.npy", mmap_mode="r").shape[1:3]
    centres = np.array([data.pick_near(faces, frame, 48, size, np.random.default_rng(seed)) for seed in range(80)])
    expected = faces[0 if frame == 0 else 1, 1:3]
    near = (np.abs(centres - expected) <= 0.3 * 48).all(axis=1)
    assert 0.6 < near.mean() < 0.9  # three in four, and a few of the rest by chance


def test_degradations_are_frozen_values(script) -> None:
    degrade = script("degrade")
    how = degrade.draw_degradation(np.random.default_rng(1))
    assert dataclasses.replace(how) == how


def test_clips_are_enlarged_as_crops_are(script) -> None:
    data, crisp = script("data"), script("crisp")
    waves = np.sin(np.arange(96) * 0.5)[:, None] * np.cos(np.arange(96) * 0.7)
    stages = np.rint(120 + 90 * waves).astype(np.uint8)[None, None, ..., None].repeat(4, 0).repeat(2, 1).repeat(3, 4)
    large = data.enlarged(stages, 1.3)
    assert large.shape == (4, 2, 112, 112, 3)  # 124 pixels, cut to a multiple of 16
    back = crisp.reduced(torch.from_numpy(large).float().movedim(-1, 2), 1.3).movedim(2, -1).numpy()
    inner = (slice(None), slice(None), slice(6, -6), slice(6, -6))
    assert np.abs(back - stages[:, :, : back.shape[2], : back.shape[3]])[inner].max() < 2
    assert data.enlarged(stages, 1.0) is stages


def test_a_batch_has_one_working_size(script, prepared: Path) -> None:
    data = script("data")
    working = ((0.75, 1.0), (0.25, 1.6))
    batches = list(islice(data.Samples(prepared, 0, ((48, 2, 2),), first=6, working=working), 8))
    assert {round(float(batch.working), 3) for batch in batches} == {1.0, 1.6}
    assert all(batch.stages.shape == (2, 4, 2, 48, 48, 3) for batch in batches)
