"""What is kept for evaluation never reaches training."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2")
image_module = pytest.importorskip("PIL.Image")

TRAINING = str(Path(__file__).resolve().parents[3] / "training")


@pytest.mark.parametrize("name", ["api_anything-1.webp", "video_humo-1.webp", "video_wan2_2_14B_s2v-1.webp"])
def test_reserved_by_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.syspath_prepend(TRAINING)
    import prepare

    assert prepare.is_reserved(name)
    assert not prepare.is_reserved(f"x{name}")


def test_copies_of_reserved_pictures_are_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(TRAINING)
    import prepare

    rng = np.random.default_rng(0)
    for name in ("api_secret", "copy", "other"):
        small = np.kron(rng.integers(0, 256, (16, 16, 3)), np.ones((16, 16, 1))).astype(np.uint8)
        if name != "copy":
            picture = small
        image_module.fromarray(picture).save(tmp_path / f"{name}.webp", quality=60)
        if name == "api_secret":
            secret = picture
    assert secret.shape == (256, 256, 3)
    monkeypatch.setattr(prepare, "find_subjects", lambda clip, models: {"faces": {}, "hands": {}})
    models = prepare.Models(tmp_path / "none", None, None)
    reserved = prepare.reserved_thumbnails([tmp_path / "api_secret.webp"])
    copied = prepare.write_clip(tmp_path / "copy.webp", tmp_path, models, reserved)
    other = prepare.write_clip(tmp_path / "other.webp", tmp_path, models, reserved)
    assert "reserved" in copied["left_out"]
    assert other["shape"] == [1, 256, 256, 3]
