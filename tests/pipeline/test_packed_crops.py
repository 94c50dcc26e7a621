"""Finished crops: no value changes, damage is noticed, a frame is read without the others."""

import errno
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redetail.errors import OutputError
from redetail.imaging import resample
from redetail.pipeline.packed_crops import PackedCrops
from redetail.region import Size
from redetail.video.crop_codec import CropCodec

SHAPE = (5, 20, 26, 3)


def smooth(shape=SHAPE):
    """What crops look like: neighbouring values differ little."""
    frames, height, width, _ = shape
    t, y, x = np.mgrid[:frames, 0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return (0.5 + 0.4 * np.sin(3 * x + 2 * y + t)[..., None] * np.array([1, 0.9, 0.8])).astype(np.float32)


@pytest.fixture
def store(tmp_path):
    store = PackedCrops(tmp_path / "a.part", SHAPE)
    store.create()
    return store


def sealed(store, crops, durable=False):
    store.write(0, crops[:3])
    store.write(3, crops[3:])
    store.seal(store.path.with_name("a"), durable=durable)
    return PackedCrops(store.path.with_name("a"), SHAPE)


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    kind=st.sampled_from(["noise", "zeros", "full", "ramp", "ends"]),
    seed=st.integers(0, 99),
)
def test_every_value_comes_back(width, height, kind, seed):
    shape, random = (height, width, 3), np.random.default_rng(seed)
    crop = {
        "noise": lambda: random.integers(0, 65536, shape, np.uint16),
        "zeros": lambda: np.zeros(shape, np.uint16),
        "full": lambda: np.full(shape, 65535, np.uint16),
        "ramp": lambda: (np.arange(height * width * 3) * 7919 % 65536).astype(np.uint16).reshape(shape),
        "ends": lambda: random.choice(np.array([0, 65535], np.uint16), shape),
    }[kind]()
    codec = CropCodec(Size(width, height))
    data = codec.pack(crop)
    np.testing.assert_array_equal(CropCodec(Size(width, height), codec.header).unpack(data), crop)


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("noise", [True, False])
def test_a_sealed_store_has_its_name_and_its_values(store, tmp_path, durable, noise):
    crops = np.random.default_rng(0).random(SHAPE, np.float32) if noise else smooth()
    read = sealed(store, crops, durable)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert read.sealed()
    levels = resample.to_float(resample.from_float(crops, np.uint16))
    np.testing.assert_array_equal(read.read(0, 5), levels)
    np.testing.assert_array_equal(read.read(3, 5), levels[3:])
    np.testing.assert_array_equal(read[1], levels[1])
    assert read.path.stat().st_size <= read.most_bytes


def test_crops_take_less_than_two_bytes_a_value(tmp_path):
    shape = (4, 120, 160, 3)
    store = PackedCrops(tmp_path / "a", shape)
    store.create()
    store.write(0, smooth(shape))
    assert store.path.stat().st_size < 0.75 * 2 * 4 * 120 * 160 * 3


def test_frames_are_written_once_in_order(store):
    store.write(0, smooth()[:2])
    for start in (0, 3):
        with pytest.raises(ValueError, match="frame 2 was expected"):
            store.write(start, smooth()[:1])


def test_what_is_missing_cut_or_changed_is_not_sealed(store):
    assert not store.sealed()
    read = sealed(store, smooth())
    assert not store.sealed()
    whole = read.path.read_bytes()
    for damaged in (whole[:-1], b"\1" + whole[1:], whole[:-1] + b"\1", b"", b"\0" * 4, whole + b"\0"):
        read.path.write_bytes(damaged)
        assert not read.sealed()
    read.drop()
    assert not read.sealed()
    read.drop()


@pytest.mark.parametrize("method", ["create", "write", "seal"])
def test_a_full_disk_is_one_sentence(store, tmp_path, monkeypatch, method):
    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    store.write(0, smooth() if method == "seal" else smooth()[:1])
    monkeypatch.setattr(Path, "open", full)
    monkeypatch.setattr(Path, "write_bytes", full)
    does = {
        "create": store.create,
        "write": lambda: store.write(1, smooth()[:1]),
        "seal": lambda: store.seal(tmp_path / "a", durable=True),
    }
    with pytest.raises(OutputError, match=r"Crops cannot be written to .* \(no space left on device\); free some"):
        does[method]()


def test_released_crops_are_read_again(tmp_path):
    crops = np.tile(np.linspace(0, 1, 16, dtype=np.float32)[None, None, :, None], (2, 16, 1, 3))
    store = PackedCrops(tmp_path / "part", crops.shape)
    store.create()
    store.write(0, crops)
    store.seal(tmp_path / "done", durable=False)
    done = PackedCrops(tmp_path / "done", crops.shape)
    before = done.read(0, 2)
    done.release()
    assert "_reader" not in vars(done)
    np.testing.assert_array_equal(done.read(1, 2), before[1:])
