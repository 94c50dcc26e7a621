"""The degradation chain of the training data."""

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2")
pytest.importorskip("av")

TRAINING = str(Path(__file__).resolve().parents[3] / "training")


@pytest.fixture
def chain(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(TRAINING)
    import degrade

    yield degrade
    sys.modules.pop("degrade", None)


def clip() -> np.ndarray:
    y, x = np.indices((48, 65))
    frames = [np.stack([(x * 7 + t) % 256, (y * 5) % 256, (x * y) % 256], axis=-1) for t in range(4)]
    return np.stack(frames).astype(np.uint8)


@pytest.mark.parametrize("seed", range(6))
def test_equal_draws_give_equal_clips(chain, seed: int) -> None:
    how = chain.draw_degradation(np.random.default_rng(seed))
    assert how == chain.draw_degradation(np.random.default_rng(seed))
    soft = chain.degrade(clip(), how)
    assert soft.shape == clip().shape
    assert soft.dtype == np.uint8
    assert np.array_equal(soft, chain.degrade(clip(), how))


def test_an_encoder_gives_equal_bits_every_time(chain) -> None:
    # What once differed depended on what lay in memory, in a third of the runs: many runs, among fresh noise.
    rng = np.random.default_rng(0)
    frames = chain.add_noise(clip()[:, ::2, :64:2], 4.5, grey=False, seed=1)
    coded = set()
    for _ in range(40):
        noise = rng.integers(0, 256, rng.integers(1_000, 40_000), dtype=np.uint8)
        coded.add(chain.through_h264(frames, 19).tobytes())
        assert noise.any()
    assert len(coded) == 1


def test_no_degradation_changes_nothing(chain) -> None:
    assert np.array_equal(chain.degrade(clip(), chain.Degradation()), clip())


def test_stronger_compression_is_further_away(chain) -> None:
    def error(**values: object) -> float:
        how = chain.Degradation(**values)
        return float(((chain.degrade(clip(), how).astype(float) - clip()) ** 2).mean())

    assert error(codec="h264", quality=18) < error(codec="h264", quality=36)
    assert error(codec="jpeg", quality=95) < error(codec="jpeg", quality=40)
    assert error(factor=1.5) < error(factor=4.0)


def test_draws_stay_in_their_ranges(chain) -> None:
    rng = np.random.default_rng(0)
    draws = [chain.draw_degradation(rng) for _ in range(400)]
    assert all(1 <= how.factor <= 3.5 for how in draws)
    assert all(12 <= how.quality <= 32 for how in draws if how.codec == "h264")
    assert all(60 <= how.quality <= 98 for how in draws if how.codec == "jpeg")
    half = [how for how in draws if how.factor == 2.0]
    assert 0.25 < len(half) / len(draws) < 0.45
    assert sum(how.codec == "h264" for how in half) > 0.8 * len(half)
    assert {how.codec for how in draws} == {"h264", "jpeg", "none"}


def test_stages_are_kept_at_the_small_size(chain) -> None:
    how = chain.Degradation(factor=2.0, noise=6.0, codec="jpeg", quality=60, seed=1)
    soft, noisy, coded = chain.damage(clip(), how)
    assert soft.shape == noisy.shape == coded.shape == (4, 24, 32, 3)
    noise = noisy.astype(float) - soft
    assert 2 < noise.std() < 7  # clipped at black and white
    assert np.array_equal(coded, chain.compress(noisy, "jpeg", 60))
