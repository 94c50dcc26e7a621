"""Training samples: cut where they should be, equal for equal seeds, each kind of damage apart."""

from __future__ import annotations

import dataclasses
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

NO_CHANGES = np.zeros((0, 0, 0, 0, 3), np.int8)


def test_a_sample_is_a_window_of_the_degraded_clip(script, prepared: Path) -> None:
    data, degrade = script("data"), script("degrade")
    clean = np.load(prepared / "a.webp.npy")[:6]
    for how in (degrade.Degradation(factor=2.0), degrade.Degradation(factor=3.4, codec="jpeg", quality=75)):
        source = data.Source(clean, degrade.damage(clean, how), NO_CHANGES, how.up, np.empty((0, 4)))
        window = source.magnified(source.stages.coded, (37, 22), 64, 1.0)
        expected = degrade.degrade(clean, how)[:, 22:86, 37:101]
        # OpenCV's two ways of cubic interpolation round positions differently, by 1/64 of a small pixel.
        assert np.abs(window.astype(int) - expected).mean() < 0.5
        assert np.array_equal(source.magnified(clean, (37, 22), 64, 1.0), clean[:, 22:86, 37:101])


def test_zoom_magnifies_about_the_same_corner(script, prepared: Path) -> None:
    data, degrade = script("data"), script("degrade")
    clean = np.load(prepared / "a.webp.npy")[:1]
    source = data.Source(clean, degrade.damage(clean, degrade.Degradation()), NO_CHANGES, "cubic", np.empty((0, 4)))
    zoomed = source.magnified(clean, (40, 24), 96, 2.0)
    back = zoomed.reshape(1, 48, 2, 48, 2, 3).mean(axis=(2, 4))
    # Enlarging by cubic interpolation and averaging again blurs a little; a shift by a pixel would cost far more.
    assert np.abs(back - clean[:, 24:72, 40:88]).mean() < 4
    assert np.abs(back - clean[:, 25:73, 41:89]).mean() > 8


def test_equal_seeds_give_equal_batches(script, prepared: Path) -> None:
    data = script("data")
    sizes = ((48, 2, 3), (64, 1, 2))
    first, second, other = (list(islice(data.Samples(prepared, seed, sizes), 3)) for seed in (3, 3, 4))
    assert [batch.stages.shape for batch in first] == [batch.stages.shape for batch in other]
    assert all(torch.equal(x, y) for a, b in zip(first, second, strict=True) for x, y in zip(a, b, strict=True))
    assert not all(torch.equal(a.stages, b.stages) for a, b in zip(first, other, strict=True))
    shapes = {(tuple(batch.stages.shape[1:]), tuple(batch.changes.shape[1:])) for batch in first}
    assert shapes <= {((4, 3, 48, 48, 3), (3, 6, 48, 48, 3)), ((4, 2, 64, 64, 3), (2, 6, 64, 64, 3))}


def test_stages_differ_only_by_what_was_done(script, prepared: Path) -> None:
    data, degrade = script("data"), script("degrade")

    def differ(**values: object) -> list[bool]:
        how = degrade.Degradation(**values)
        batch = next(iter(data.Samples(prepared, 0, ((64, 3, 2),), degradation=how)))
        coded, noisy, soft, clean = batch.stages.unbind(1)
        return [not torch.equal(a, b) for a, b in ((clean, soft), (soft, noisy), (noisy, coded))]

    assert differ() == [False, False, False]
    assert differ(factor=2.0) == [True, False, False]
    assert differ(noise=5.0) == [False, True, False]
    assert differ(codec="jpeg", quality=60) == [False, False, True]


def test_changes_are_those_of_the_frames_beside(script, prepared: Path) -> None:
    data, degrade = script("data"), script("degrade")
    how = degrade.Degradation(factor=2.0, codec="jpeg", quality=60)
    rng = np.random.default_rng(0)
    source = data.Samples(prepared, 0, degradation=how, reach=2).source(rng)
    assert source.changes.shape == (len(source.clean), 4, *source.clean.shape[1:])
    coded = degrade.resize(source.stages.coded, source.clean.shape[1:3], how.up)
    expected = np.stack([*data.aligned_differences(coded, 2)]) / data.CHANGE_UNIT
    drawn = source.sample(np.random.default_rng(1), 64, 3, 1.0)
    assert drawn.changes.shape == (3, 4, 64, 64, 3)
    rounded = np.rint(expected).astype(np.int8)
    assert np.array_equal(source.changes, rounded)
    corners = [(t, y, x) for t in range(len(coded) - 2) for y in range(0, coded.shape[1] - 63)
               for x in range(0, coded.shape[2] - 63)
               if np.array_equal(coded[t, y, x : x + 64], drawn.stages[0, 0, 0])]  # fmt: skip
    assert corners
    windows = [rounded[t : t + 3, :, y : y + 64, x : x + 64] for t, y, x in corners]
    assert any(np.array_equal(window, drawn.changes) for window in windows)


def test_mirrored_time_swaps_the_neighbours(script, prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, degrade = script("data"), script("degrade")
    how = degrade.Degradation(factor=2.0, codec="jpeg", quality=60)
    samples = data.Samples(prepared, 0, degradation=how, reach=1)
    pool = [samples.source(np.random.default_rng(0))]
    for seed in range(12):
        stages, changes = samples.draw(np.random.default_rng(seed), pool, 64, 4)
        again = np.stack([*data.aligned_differences(stages[0], 1)]) / data.CHANGE_UNIT
        # Flows of the window alone differ at its border; those of the other direction would not fit at all.
        inner = (slice(1, -1), slice(None), slice(16, -16), slice(16, -16))
        ahead = np.corrcoef(again[inner].ravel(), changes[inner].ravel())[0, 1]
        swapped = np.corrcoef(again[:, ::-1][inner].ravel(), changes[inner].ravel())[0, 1]
        assert ahead > swapped


def test_watched_files_are_not_trained_on(script, prepared: Path) -> None:
    data = script("data")
    trained = {row["name"] for row in data.Samples(prepared, 0).rows}
    watched = {row["name"] for row in data.Samples(prepared, 0, validation=True).rows}
    assert trained == {"a.webp", "c.webp", "still.webp"}
    assert watched == {"held3.webp"}


@pytest.mark.parametrize("frame", [0, 9])
def test_samples_lie_near_the_nearest_face(script, prepared: Path, frame: int) -> None:
    data, degrade = script("data"), script("degrade")
    clean = np.load(prepared / "a.webp.npy")
    faces = np.array([[0, 50.0, 60.0, 20.0], [10, 150.0, 120.0, 20.0]])
    source = data.Source(clean, degrade.damage(clean, degrade.Degradation()), NO_CHANGES, "cubic", faces)
    centres = np.array([source.centre(frame, 48, np.random.default_rng(seed)) for seed in range(80)])
    expected = faces[0 if frame == 0 else 1, 1:3]
    near = (np.abs(centres - expected) <= 0.3 * 48).all(axis=1)
    assert 0.6 < near.mean() < 0.9  # three in four, and a few of the rest by chance


def test_degradations_are_frozen_values(script) -> None:
    degrade = script("degrade")
    how = degrade.draw_degradation(np.random.default_rng(1))
    assert dataclasses.replace(how) == how
