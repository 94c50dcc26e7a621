"""The engine of a model of two passes: what is drafted is looked at."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from redetail.engines import Engine, enhance_arrays, load_engine
from redetail.engines.restoration import ModelCard, NetworkConfig, RestorationUNet, save
from redetail.errors import Cancelled
from redetail.progress import CancelToken, Progress, ProgressCallback, no_progress
from redetail.settings import resolve

pytest.importorskip("cv2")

CONFIG = NetworkConfig(
    unshuffle=2, reach=2, channels=(8, 16), down_blocks=(1, 1), up_blocks=(1, 1), motion_channels=(4, 4)
)
CARD = ModelCard(context_length=8, defaults={"steps": 1, "denoise": 1.0, "cfg": 1.0})


def network(seed: int, drafted: bool) -> RestorationUNet:
    torch.manual_seed(seed)
    made = RestorationUNet(dataclasses.replace(CONFIG, drafted=drafted))
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.08)
    return made.requires_grad_(False)


def engine(folder: Path, draft: RestorationUNet | None) -> Engine:
    """Of the same second network, whatever makes the drafts; without drafts, of its other parts."""
    second = network(1, drafted=True)
    if draft is None:
        plain = RestorationUNet(CONFIG)
        plain.load_state_dict({name: value for name, value in second.state_dict().items() if "review" not in name})
        second = plain
    save(folder, second, CARD, draft)
    return load_engine(folder, device="cpu", dtype="float32")


def clip(frames: int) -> np.ndarray:
    rng = np.random.default_rng(3)
    wide = np.kron(rng.random((8, 12 + frames, 3)), np.ones((4, 4, 1))).astype(np.float32) * 0.4 + 0.3
    return np.stack([wide[:, 2 * t : 2 * t + 48] for t in range(frames)])


def restored(
    engine: Engine, crops: np.ndarray, progress: ProgressCallback = no_progress, **values: object
) -> np.ndarray:
    settings = resolve(values, engine.capabilities.defaults)
    return enhance_arrays(engine, crops, np.ones((1, *crops.shape[1:3]), np.float32), settings, progress=progress)


def test_other_drafts_lead_to_other_results(tmp_path: Path) -> None:
    crops = clip(4)
    results = [restored(engine(tmp_path, draft), crops) for draft in (network(2, False), network(3, False), None)]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(results[first] - results[second]).max() > 1e-3


def test_drafts_of_a_network_that_does_nothing_tell_nothing_new(tmp_path: Path) -> None:
    idle = network(2, drafted=False)
    idle.leave.weight.zero_()
    idle.leave.bias.zero_()
    second = network(1, drafted=True)
    save(tmp_path, second, CARD, idle)
    given = restored(load_engine(tmp_path, device="cpu", dtype="float32"), clip(3))
    # The draft is the crop: its residual is none, and its neighbours are those that the network sees anyway.
    review = second.review
    assert review is not None
    review[0].weight[:, : CONFIG.latent_channels] = 5.0
    save(tmp_path, second, CARD, idle)
    assert np.array_equal(restored(load_engine(tmp_path, device="cpu", dtype="float32"), clip(3)), given)


def test_keep_gives_the_crop_back(tmp_path: Path) -> None:
    crops = clip(3)
    assert np.array_equal(restored(engine(tmp_path, network(2, False)), crops, cfg=0.0), crops)


def test_a_restrained_network_changes_less_everywhere(tmp_path: Path) -> None:
    crops, second = clip(20), network(1, drafted=True)
    free = restored(engine(tmp_path, network(2, False)), crops)
    second.config = dataclasses.replace(second.config, restraint=0.5)
    save(tmp_path, second, CARD, network(2, False))
    held = restored(load_engine(tmp_path, device="cpu", dtype="float32"), crops)
    assert 0 < np.abs(held - crops).mean() < 0.9 * np.abs(free - crops).mean()
    assert (np.abs(held - crops) <= np.abs(free - crops) + 1e-4).all()


@pytest.mark.parametrize("drafted", [False, True])
@pytest.mark.parametrize("frames", [3, 20])
@pytest.mark.parametrize("cfg", [0.0, 1.0])
def test_every_network_call_is_reported(tmp_path: Path, drafted: bool, frames: int, cfg: float) -> None:
    reports: list[Progress] = []
    model = engine(tmp_path, network(2, False) if drafted else None)
    restored(model, clip(frames), reports.append, cfg=cfg)
    windows = 1 if frames == 3 else 4  # of 8 frames, 4 of them shared with the one before
    looks = 1 if frames == 3 else 2  # at 16 frames
    calls = windows if cfg == 0 else (2 * looks + 2 * windows if drafted else looks + windows)
    assert [report.done for report in reports] == [*range(1, calls + 1)]
    assert {report.total for report in reports} == {calls}


def test_a_run_can_be_cancelled_while_it_looks(tmp_path: Path) -> None:
    token, reports = CancelToken(), list[Progress]()

    def cancel(report: Progress) -> None:
        reports.append(report)
        token.cancel()

    model, crops = engine(tmp_path, network(2, False)), clip(20)
    settings = resolve({}, model.capabilities.defaults)
    mask = np.ones((1, *crops.shape[1:3]), np.float32)
    with pytest.raises(Cancelled):
        enhance_arrays(model, crops, mask, settings, progress=cancel, cancel=token)
    assert len(reports) == 1


@pytest.mark.parametrize("frames", [1, 2, 19])
def test_clips_of_any_length_are_taken(tmp_path: Path, frames: int) -> None:
    crops = clip(frames)
    output = restored(engine(tmp_path, network(2, False)), crops)
    assert output.shape == crops.shape
    assert np.isfinite(output).all()


def test_what_is_seen_in_parts_is_what_is_seen_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from redetail.engines.restoration import codec as codec_module
    from redetail.engines.restoration import engine as engine_module

    crops, model = clip(9), engine(tmp_path, network(2, False))
    at_once = restored(model, crops)
    for module in (codec_module, engine_module):
        monkeypatch.setattr(module, "TOGETHER", 4)
    np.testing.assert_allclose(restored(model, crops), at_once, atol=1e-6)
