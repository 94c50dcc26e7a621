"""Configuration files: what is hostile, damaged or of the wrong kind is refused in one sentence that names the key."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from redetail.documents import shown
from redetail.engines import load_engine
from redetail.engines.config import class_name, read_config
from redetail.engines.files import identify
from redetail.engines.restoration.folder import load
from redetail.errors import ModelError
from tests.engines.conftest import write_restoration_folder

DEEP = "[" * 100_000
HUGE = "1" + "0" * 400
HUGER = "1" + "0" * 5000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_restoration_folder(tmp_path / "model")


def edited(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def refused(read: Callable[[], Any]) -> str:
    with pytest.raises(ModelError) as caught:
        read()
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600
    return message


@pytest.mark.parametrize(
    ("key", "value", "part"),
    [
        ("channels", 8, "it must be a list of 1 to 8 values"),
        ("channels", [8] * 100_000, "it must be a list of 1 to 8 values"),
        ("channels", [10**400], "each item is a whole number from 1 to 4096"),
        ("channels", [8.5, 16], "each item is a whole number"),
        ("channels", [], "it must be a list of 1 to 8 values"),
        ("down_blocks", [1_000_000, 1], "each item is a whole number from 1 to 64"),
        ("down_blocks", [1], "it must have 2, one for each level"),
        ("motion_heads", [0, 1], "each item is a whole number from 1 to 256"),
        ("unshuffle", True, "it must be a whole number from 1 to 16"),
        ("unshuffle", None, "it must be a whole number from 1 to 16"),
        ("residual_std", "0.1", "it must be a number from 1e-06 to 1000"),
        ("residual_std", float("nan"), "it must be a number from 1e-06 to 1000"),
        ("latent_scale", [1.0], "it must have 48, or none"),
        ("drafted", "yes", "it must be true or false"),
        ("tasks", [1], "it must be a list in which each item is text"),
        ("colour", 1, "it has the unknown key 'colour'"),
    ],
)
def test_a_restoration_network_that_cannot_be(folder: Path, key: str, value: Any, part: str) -> None:
    edited(folder / "config.json", **{key: value})
    message = refused(lambda: load(folder))
    assert key in message
    assert part in message
    assert str(folder / "config.json") in message


@pytest.mark.parametrize(
    ("key", "value", "part"),
    [
        ("name", 3, "it must be text"),
        ("context_length", 10**400, "it must be a whole number from 1 to 4096"),
        ("defaults", [1], "it must be an object"),
        ("defaults", {"steps": "many"}, "steps must be a number, not 'many'"),
        ("defaults", {"step": 1}, "no setting named 'step'"),
        ("colour", 1, "it has the unknown key 'colour'"),
    ],
)
def test_a_card_that_cannot_be(folder: Path, key: str, value: Any, part: str) -> None:
    edited(folder / "card.json", **{key: value})
    message = refused(lambda: load(folder))
    assert key in message
    assert part in message
    assert str(folder / "card.json") in message


def test_weights_of_another_network_are_named_in_one_sentence(folder: Path) -> None:
    edited(folder / "config.json", channels=[16, 32])
    message = refused(lambda: load(folder))
    assert "tensors such as down." in message
    edited(folder / "config.json", down_blocks=[2, 2])
    assert "no tensor name starts with down.0.1." in refused(lambda: load(folder))


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (DEEP, "contains JSON that is nested too deeply"),
        (f'{{"a": {DEEP}', "contains JSON that is nested too deeply"),
        (f'{{"a": {HUGER}}}', "is not JSON"),
        ("{", "is not JSON"),
        ("[]", "must contain a JSON object"),
        (" " * 2_000_000, "is larger than 1,048,576 bytes"),
    ],
)
def test_a_file_that_is_no_configuration(tmp_path: Path, content: str, part: str) -> None:
    (tmp_path / "config.json").write_text(content)
    message = refused(lambda: read_config(tmp_path / "config.json"))
    assert part in message
    assert str(tmp_path / "config.json") in message


def test_a_value_is_shown_short() -> None:
    for value in (10**400, "a" * 10_000, [1] * 10_000, {"a": {"b": {"c": {}}}}, list(range(100))):
        assert len(shown(value)) < 120


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"_class_name": "UNet"}, "UNet"),
        ({"architectures": ["CLIPTextModel"]}, "CLIPTextModel"),
        ({"architectures": []}, ""),
        ({"architectures": 3}, ""),
        ({"architectures": {"a": 1}}, ""),
        ({"_class_name": ["a"]}, "['a']"),
    ],
)
def test_the_class_that_wrote_a_config(config: dict[str, Any], name: str) -> None:
    assert class_name(config) == name


# --- headers of weight files


@pytest.mark.parametrize(
    ("entry", "part"),
    [
        ({"shape": [1]}, "does not describe 'a'"),
        ([1], "does not describe 'a'"),
        ({"shape": 3, "dtype": "F32", "data_offsets": [0, 4]}, "shape in the entry for 'a' in the header"),
        ({"shape": ["3"], "dtype": "F32", "data_offsets": [0, 4]}, "shape in the entry for 'a' in the header"),
        ({"shape": [10**400], "dtype": "F32", "data_offsets": [0, 4]}, "shape in the entry for 'a' in the header"),
        ({"shape": [1], "dtype": 32, "data_offsets": [0, 4]}, "dtype in the entry for 'a' in the header"),
        (
            {"shape": [1], "dtype": "F32", "data_offsets": [0, 10**400]},
            "data_offsets in the entry for 'a' in the header",
        ),
        ({"shape": [1], "dtype": "F32", "data_offsets": "04"}, "data_offsets in the entry for 'a' in the header"),
        ({"shape": [1], "dtype": "F32", "data_offsets": [0]}, "data_offsets in the entry for 'a' in the header"),
    ],
)
def test_a_header_that_cannot_be(tmp_path: Path, entry: Any, part: str) -> None:
    raw = json.dumps({"a": entry}).encode()
    (tmp_path / "x.safetensors").write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(4))
    assert part in refused(lambda: identify(tmp_path / "x.safetensors"))


@pytest.mark.parametrize("raw", [DEEP.encode(), b'{"a": ' + DEEP.encode(), b'{"a": ' + HUGER.encode() + b"}"])
def test_a_header_that_is_no_json(tmp_path: Path, raw: bytes) -> None:
    raw = raw if raw.startswith(b"{") else b"{" + raw
    (tmp_path / "x.safetensors").write_bytes(len(raw).to_bytes(8, "little") + raw)
    message = refused(lambda: identify(tmp_path / "x.safetensors"))
    assert "is damaged: its header is not " in message or "is damaged: its header contains JSON that is" in message


def test_a_compressed_checkpoint_is_refused_before_it_grows(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1000)}, tmp_path / "plain.ckpt")
    with (
        zipfile.ZipFile(tmp_path / "plain.ckpt") as plain,
        zipfile.ZipFile(tmp_path / "bomb.ckpt", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for entry in plain.infolist():
            bomb.writestr(entry.filename, plain.read(entry))
        with bomb.open("archive/data/1", "w") as file:
            for _ in range(64):
                file.write(bytes(2**20))
    assert (tmp_path / "bomb.ckpt").stat().st_size < 2**20
    assert "is a compressed archive" in refused(lambda: identify(tmp_path / "bomb.ckpt"))


# --- what refusing costs

MEASURE = """
import resource, sys, time
from redetail.engines import load_engine
from redetail.errors import ModelError

def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

import redetail.engines.restoration.engine
for path in sys.argv[1:]:
    before, start = peak(), time.process_time()
    try: load_engine(path, device="cpu")
    except ModelError: pass
    else: raise SystemExit(f"{path} was loaded")
    print(path, peak() - before, time.process_time() - start)
"""


def test_hostile_files_cost_little(folder: Path, tmp_path: Path) -> None:
    """At most a second of the processor and 75 MB more than a plain start, one after another in one process."""
    blocks = write_restoration_folder(tmp_path / "blocks")
    edited(blocks / "config.json", down_blocks=[64] * 8, up_blocks=[64] * 8, channels=[4096] * 8)
    edited(blocks / "config.json", motion_channels=[4096] * 8, motion_heads=[1] * 8)
    edited(folder / "config.json", channels=[1] * 250_000)
    raw = b'{"a":[' + b'"b",' * 1_999_000 + b'"b"]}'
    header = tmp_path / "x.safetensors"
    header.write_bytes(len(raw).to_bytes(8, "little") + raw)
    command = [sys.executable, "-c", MEASURE, str(folder), str(blocks), str(header)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        path, megabytes, seconds = line.rsplit(" ", 2)
        assert float(megabytes) < 75, path
        assert float(seconds) < 1, path
    assert load_engine(None, device="cpu")
