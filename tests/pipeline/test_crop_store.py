import errno
from pathlib import Path

import numpy as np
import pytest

from redetail.errors import OutputError
from redetail.pipeline.crop_store import CropStore, HeldCrops

SHAPE = (5, 4, 6, 3)


@pytest.fixture
def store(tmp_path):
    store = CropStore(tmp_path / "a.part", SHAPE)
    store.create()
    return store


@pytest.mark.parametrize("kind", ["disk", "memory"])
def test_what_is_written_is_read_back_to_16_bits(store, kind):
    store = store if kind == "disk" else HeldCrops(SHAPE)
    crops = np.random.default_rng(0).random(SHAPE, np.float32)
    store.write(3, crops[3:])
    store.write(0, crops[:3])
    # Half a step of 16 bits, and float32 rounding of values below one.
    assert np.abs(store.read(0, 5) - crops).max() <= 0.5 / 65535 + 1e-7
    np.testing.assert_array_equal(store[4], store.read(4, 5)[0])
    assert len(store) == 5


def test_a_store_takes_two_bytes_a_value(store):
    store.write(0, np.zeros(SHAPE, np.float32))
    assert store.path.stat().st_size == store.bytes == 2 * 5 * 4 * 6 * 3


def test_crops_in_memory_are_black_until_they_are_written():
    held = HeldCrops(SHAPE)
    held.write(2, np.ones((1, *SHAPE[1:]), np.float32))
    assert held.read(0, 5).max(axis=(1, 2, 3)).tolist() == [0, 0, 1, 0, 0]


def test_values_of_8_bits_survive_exactly(tmp_path):
    levels = np.arange(256, dtype=np.float32)[:, None, None, None] / np.float32(255)
    crops = np.broadcast_to(levels, (256, 1, 1, 3))
    store = CropStore(tmp_path / "levels", crops.shape)
    store.create()
    store.write(0, crops)
    np.testing.assert_array_equal(np.rint(store.read(0, 256) * 255), np.rint(crops * 255))


@pytest.mark.parametrize("method", ["create", "write"])
def test_a_full_disk_is_one_sentence(store, monkeypatch, method):
    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    monkeypatch.setattr(Path, "write_bytes", full)
    does = {
        "create": store.create,
        "write": lambda: store.write(0, np.zeros(SHAPE, np.float32)),
    }
    with pytest.raises(OutputError, match=r"Crops cannot be written to .* \(no space left on device\); free some"):
        does[method]()
