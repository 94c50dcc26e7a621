"""A training run: its loss, its targets, its resumption, its start from exported weights."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from redetail.engines.base import CropSource
from redetail.engines.restoration import ModelCard, ResidualCodec, load, save
from redetail.engines.restoration.draft import drafts
from redetail.geometry.context import context_windows

pytestmark = pytest.mark.slow


def options(data: Path, output: Path, **changes: object) -> argparse.Namespace:
    values = {
        "data": data,
        "output": output,
        "start": None,
        "second": False,
        "minutes": 0.01,
        "rate": 1e-3,
        "warm_up": 200,
        "sizes": "32x2x2",
        "seed": 0,
        "device": "cpu",
        "threads": 1,
        "workers": 0,
        "processes": 1,
        "port": 29599,
        "bf16": False,
        "compile": False,
    }
    return argparse.Namespace(**{**values, **changes})


@pytest.fixture(scope="module")
def measured() -> dict[int, Any]:
    """Configurations of a new network by the seed of its run: to measure the training set takes most of its start."""
    return {}


@pytest.fixture
def train(script, monkeypatch: pytest.MonkeyPatch, measured: dict[int, Any]) -> ModuleType:
    module, inputs = script("train"), script("inputs")
    measure = module.measured_config

    def once(data: Path, seed: int) -> Any:
        if seed not in measured:
            measured[seed] = measure(data, seed)
        return measured[seed]

    monkeypatch.setattr(module, "measured_config", once)
    for one in (module, inputs):
        monkeypatch.setattr(one, "Samples", functools.partial(one.Samples, first=4))
    thin = {"channels": (8, 16), "down_blocks": (1, 1), "up_blocks": (1, 1)}
    shape = dataclasses.replace(inputs.SHAPE, **thin, motion_channels=(0, 8), motion_heads=(1, 1))
    monkeypatch.setattr(inputs, "SHAPE", shape)
    monkeypatch.setattr(inputs, "MEASURED", 2)
    monkeypatch.setattr(script("data"), "POOL", 4)
    return module


@pytest.fixture
def batch(script) -> Any:
    generator = torch.Generator().manual_seed(0)
    stages = torch.randint(0, 256, (2, 4, 2, 32, 32, 3), generator=generator, dtype=torch.uint8)
    changes = torch.randint(-127, 128, (2, 2, 6, 32, 32, 3), generator=generator, dtype=torch.int8)
    return script("data").Batch(stages, changes)


def test_targets_of_the_tasks_lead_from_the_crop_to_the_original(
    train: ModuleType, script, prepared: Path, tmp_path: Path, batch: Any
) -> None:
    run = train.Run(options(prepared, tmp_path / "run"))
    target = run.latents(batch)
    assert target.shape == (4, 3, 12, 16, 16)
    restored = script("inputs").condition_of(batch, run.config)[:, :12] + target.sum(dim=1) * run.config.residual_std
    clean = train.unshuffle(batch.stages[:, 3].float() / 127.5 - 1, run.config)
    torch.testing.assert_close(restored, clean, atol=1e-5, rtol=0)


def test_training_and_engine_tell_the_network_the_same(script) -> None:
    data, inputs = script("data"), script("inputs")
    config = dataclasses.replace(inputs.SHAPE, reach=2)
    coded = np.random.default_rng(0).integers(100, 140, (3, 32, 32, 3)).astype(np.uint8)
    found = np.stack([*data.aligned_differences(coded, 2)]) / data.CHANGE_UNIT
    stages = torch.from_numpy(np.stack([coded] * 4))[None]
    batch = data.Batch(stages, torch.from_numpy(np.rint(found).astype(np.int8))[None])
    expected = ResidualCodec(config).condition(coded.astype(np.float32) / 255)
    torch.testing.assert_close(inputs.condition_of(batch, config), expected, atol=data.CHANGE_UNIT + 1e-5, rtol=0)


def test_a_run_is_resumed_where_it_stopped(train: ModuleType, prepared: Path, tmp_path: Path, batch: Any) -> None:
    folder = tmp_path / "run"
    run = train.Run(options(prepared, folder))
    for _ in range(2):
        figures = run.train_step(batch)
    assert figures["error"] > 0
    run.save()
    again = train.Run(options(prepared, folder, start=tmp_path / "nowhere"))  # a checkpoint counts for more
    assert again.step == 2
    assert again.config == run.config
    for name, value in run.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], value), name
    assert again.optimizer.state_dict()["state"].keys() == run.optimizer.state_dict()["state"].keys()


def test_a_run_starts_from_exported_weights(train: ModuleType, prepared: Path, tmp_path: Path, batch: Any) -> None:
    first = train.Run(options(prepared, tmp_path / "first"))
    first.train_step(batch)
    save(tmp_path / "exported", first.average, ModelCard())
    second = train.Run(options(prepared, tmp_path / "second", start=tmp_path / "exported"))
    assert second.step == 0
    assert second.config == first.config
    for name, value in load(tmp_path / "exported").network.state_dict().items():
        assert torch.equal(second.network.state_dict()[name], value), name


@pytest.fixture
def first(train: ModuleType, prepared: Path, tmp_path: Path, batch: Any) -> Path:
    """The exported weights of a run of one step."""
    run = train.Run(options(prepared, tmp_path / "first", rate=0.05))
    run.train_step(batch)
    save(tmp_path / "exported", run.network, ModelCard())
    return tmp_path / "exported"


def test_a_second_network_begins_as_the_first_and_looks_at_its_drafts(
    train: ModuleType, prepared: Path, tmp_path: Path, batch: Any, first: Path
) -> None:
    run = train.Run(options(prepared, tmp_path / "second", start=first, second=True))
    weights = load(first).network.state_dict()
    assert run.draft is not None
    for name, value in run.draft.state_dict().items():
        assert torch.equal(value, weights[name]), name
        assert torch.equal(run.network.state_dict()[name], value), name
    drafted = batch._replace(drafts=batch.stages[:, 0] // 2, beside=batch.changes)
    assert torch.equal(
        train.features_of(run.network, drafted), train.features_of(run.network, batch)
    )  # review starts at zero
    for _ in range(2):  # the first step only moves what review ends in
        run.train_step(drafted)
    assert not torch.equal(train.features_of(run.network, drafted), train.features_of(run.network, batch))
    for name, value in run.draft.state_dict().items():
        assert torch.equal(value, weights[name]), f"{name} of the first network was trained"


def test_a_second_run_is_resumed_and_exported_with_its_first_network(
    train: ModuleType, script, prepared: Path, tmp_path: Path, first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "second"
    train.Run(options(prepared, folder, start=first, second=True)).save()
    again = train.Run(options(prepared, folder))
    assert again.config.drafted
    monkeypatch.setattr("sys.argv", ["export.py", "--run", str(folder), "--output", str(tmp_path / "both")])
    script("export").main()
    loaded = load(tmp_path / "both")
    assert loaded.draft is not None
    assert again.draft is not None
    further = train.Run(options(prepared, tmp_path / "third", start=tmp_path / "both"))
    assert further.draft is not None
    for name, value in load(first).network.state_dict().items():
        for draft in (again.draft, loaded.draft, further.draft):
            assert torch.equal(draft.state_dict()[name], value), name


def test_training_and_engine_make_the_same_drafts(script, first: Path) -> None:
    data, inputs = script("data"), script("inputs")
    coded = np.random.default_rng(0).integers(100, 140, (5, 32, 32, 3)).astype(np.uint8)
    network = load(first).network
    torch.manual_seed(0)
    torch.nn.init.normal_(network.leave.weight, std=0.2)
    found = np.stack([*data.aligned_differences(coded, network.config.reach)]) / data.CHANGE_UNIT
    made = inputs.Drafter(network)(coded, np.rint(found).astype(np.int8), False)
    crops = coded.astype(np.float32) / 255
    codec = ResidualCodec(network.config)
    seen = network.look(codec.condition(crops))
    expected = drafts(network, codec, CropSource.of(crops), seen, context_windows(5, inputs.WINDOW, 4)).all()
    assert np.abs(expected * 255 - coded).mean() > 0.5
    assert np.abs(made - expected * 255).mean() < 0.25 * np.abs(expected * 255 - coded).mean()  # bytes and bfloat16


def test_a_whole_run_logs_and_learns_to_stop(train: ModuleType, prepared: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(train, "WATCHED", {"half": train.Degradation(factor=2.0)})
    monkeypatch.setattr(train, "watched", functools.partial(train.watched, size=(64, 2, 2), first=2))
    train.train(0, options(prepared, tmp_path / "run"))
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["minutes"] >= 0.01
    assert "half" in rows[-1]
    assert list((tmp_path / "run").glob("sheet_*.png"))
    assert (tmp_path / "run" / "checkpoint.pt").exists()


def test_the_inventive_end_goes_on_from_a_model_and_joins_it(
    train: ModuleType, script, prepared: Path, tmp_path: Path, batch: Any, first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crisp, folder, before = script("crisp"), tmp_path / "crisp", load(first).network.state_dict()
    run = crisp.CrispRun(options(prepared, folder, start=first, adversary=0.1, go_on=False))
    told = [run.train_step(batch) for _ in range(2)]
    assert {*crisp.WEIGHTS, "adversary", "judge"} <= told[0].keys()
    run.save()
    again = crisp.CrispRun(options(prepared, folder, adversary=0.1, go_on=False))
    assert (again.step, again.adversary.state().keys()) == (2, run.adversary.state().keys())
    figures = again.judged({"half": batch})["half"]
    assert figures.keys() == {"gain", "worst", "detail", "high", "beyond", "colour", "flicker"}
    monkeypatch.setattr("sys.argv", ["export.py", "--inventive", "--run", str(folder), "--output", str(first)])
    script("export").main()
    joined = load(first)
    assert joined.inventive is not None
    assert joined.card.trained["inventive"]["steps"] == 2
    for name, value in joined.network.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert any(not torch.equal(value, before[name]) for name, value in joined.inventive.state_dict().items())
    further = crisp.CrispRun(options(prepared, tmp_path / "further", start=first, adversary=0.0, go_on=True))
    for name, value in joined.inventive.state_dict().items():
        assert torch.equal(value, further.network.state_dict()[name]), name
