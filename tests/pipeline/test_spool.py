import errno
from pathlib import Path

import numpy as np
import pytest

from redetail.errors import OutputError
from redetail.pipeline import spool as module
from redetail.pipeline.spool import Spool

SHAPE = (5, 4, 6, 3)


def test_what_is_written_is_read_back_to_16_bits(tmp_path):
    crops = np.random.default_rng(0).random(SHAPE, np.float32)
    with Spool([SHAPE], tmp_path) as spool:
        store = spool.store("a", SHAPE)
        store.write(3, crops[3:])
        store.write(0, crops[:3])
        # Half a step of 16 bits, and float32 rounding of values below one.
        assert np.abs(store.read(0, 5) - crops).max() <= 0.5 / 65535 + 1e-7
        np.testing.assert_array_equal(store[4], store.read(4, 5)[0])
        assert len(store) == 5


def test_values_of_8_bits_survive_exactly(tmp_path):
    levels = np.arange(256, dtype=np.float32)[:, None, None, None] / np.float32(255)
    crops = np.broadcast_to(levels, (256, 1, 1, 3))
    with Spool([crops.shape], tmp_path) as spool:
        store = spool.store("a", crops.shape)
        store.write(0, crops)
        np.testing.assert_array_equal(np.rint(store.read(0, 256) * 255), np.rint(crops * 255))


def test_the_folder_is_gone_after_an_error(tmp_path):
    def fail():
        with Spool([SHAPE], tmp_path) as spool:
            spool.store("a", SHAPE).write(0, np.ones(SHAPE, np.float32))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_too_little_disk_is_said_before_work_begins(tmp_path):
    with pytest.raises(OutputError, match="TMPDIR"):
        Spool([(10**9, 512, 512, 3)], tmp_path)


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    with Spool([SHAPE], tmp_path) as spool:
        store = spool.store("a", SHAPE)

        def full(*_args, **_options):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Path, "open", full)
        with pytest.raises(OutputError, match="No space left on device"):
            store.write(0, np.zeros(SHAPE, np.float32))


def test_space_is_given_back(tmp_path):
    with Spool([SHAPE], tmp_path) as spool:
        store = spool.store("a", SHAPE)
        spool.drop(store)
        assert not store.path.exists()
    assert module.Spool([], tmp_path)
