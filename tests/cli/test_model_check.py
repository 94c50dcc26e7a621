"""``redetail models check``: files find their places, what is measured is printed, and a fault is the error."""

from __future__ import annotations

from pathlib import Path

import pytest

from redetail.cli import model_check
from redetail.cli.main import main
from redetail.cli.model_check import spec_of
from redetail.engines import load_engine
from redetail.errors import ModelError, SettingsError
from tests.engines import trained_like
from tests.engines.wan_files import write_wan_files


def test_files_find_their_places_in_any_order(tmp_path: Path) -> None:
    files = write_wan_files(tmp_path)
    spec = spec_of([str(files[name]) for name in ("text_encoder", "checkpoint", "vae")])
    assert (spec.checkpoint, spec.vae, spec.text_encoder) == (
        str(files["checkpoint"]), files["vae"], files["text_encoder"],
    )  # fmt: skip
    assert spec_of(["owner/name"]).checkpoint == "owner/name"
    with pytest.raises(SettingsError, match="No checkpoint was given"):
        spec_of([str(files["vae"])])
    with pytest.raises(SettingsError, match="would both be used as the VAE; give only one of them"):
        spec_of([str(files["checkpoint"]), str(files["vae"]), str(files["vae"])])


def test_a_model_of_random_numbers_does_not_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(model_check, "_clip", lambda: trained_like.clip(5, 64))
    files = write_wan_files(tmp_path)
    assert main(["models", "check", *map(str, files.values()), "--device", "cpu"]) == 2
    out, error = capsys.readouterr()
    assert "wan:checkpoint.safetensors on cpu in float32" in out
    assert "VAE round trip" in out
    assert "<- wrong" in out
    assert "The VAE does not reproduce its input" in error


def test_a_model_that_works_passes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(model_check, "load_engine", lambda spec, device: trained_like.engine())
    monkeypatch.setattr(model_check, "_clip", trained_like.clip)
    assert main(["models", "check", "owner/name"]) == 0
    assert "the model works: every measurement is within the expected range" in capsys.readouterr().out


def test_the_bundled_clip_is_there() -> None:
    clip = model_check._clip()
    assert clip.shape == (17, 256, 256, 3)
    assert 0.3 < clip.max() <= 1
    assert clip.std() > 0.1


def test_the_bundled_model_has_nothing_to_check(restoration: Path) -> None:
    with pytest.raises(ModelError, match="has no VAE; 'redetail models check' can test only"):
        model_check.check([str(restoration)], "cpu")


@pytest.fixture
def restoration() -> Path:
    from importlib.resources import files

    folder = Path(str(files("redetail.bundled") / "restoration"))
    assert load_engine(folder, device="cpu").capabilities.name
    return folder
