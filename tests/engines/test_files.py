"""What a file is: every kind in its published layout, and what is not a weight file at all."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from redetail.engines.architectures import recognize
from redetail.engines.files import FileFacts, identify, open_as
from redetail.engines.weightfile import open_weights
from redetail.errors import ModelError
from tests.engines import originals as made


def refused(path: Path) -> str:
    """The message; one sentence on one line that names the file."""
    with pytest.raises(ModelError) as caught:
        identify(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def thin(path: Path) -> Path:
    """The smallest file that is a motion module."""
    return made.save(path, made.filled(made.motion_shapes("v2", (32,), layers=1)))


# --- reading


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt", ".pt", ".bin"])
def test_both_formats_give_the_same(tmp_path: Path, suffix: str) -> None:
    tensors = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.float16)}
    file = open_weights(made.save(tmp_path / f"file{suffix}", tensors))
    assert {name: (facts.shape, facts.dtype) for name, facts in file.tensors.items()} == {
        "a.weight": ((2, 3), "F32"),
        "b": ((4,), "F16"),
    }
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in file.read().items())
    assert list(file.read(["b"])) == ["b"]
    assert file.shape("b") == (4,)
    assert file.shape("none") == ()


def test_the_contents_decide_not_the_suffix(tmp_path: Path) -> None:
    tensors = {"a": torch.ones(2)}
    made.save(tmp_path / "x.safetensors", tensors).rename(tmp_path / "y.ckpt")
    made.save(tmp_path / "x.ckpt", tensors).rename(tmp_path / "y.safetensors")
    assert [open_weights(tmp_path / name).shape("a") for name in ("y.ckpt", "y.safetensors")] == [(2,), (2,)]


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
def test_what_is_done_to_tensors_never_reaches_the_file(tmp_path: Path, suffix: str) -> None:
    path = made.save(tmp_path / f"x{suffix}", {"a": torch.ones(1000)})
    before = path.read_bytes()
    open_weights(path).read()["a"].add_(1)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["half", "bfloat16", "float8_e4m3fn", "int64"])
def test_precisions_have_one_name_in_both_formats(tmp_path: Path, name: str) -> None:
    tensors = {"a": torch.zeros(4, dtype=getattr(torch, name))}
    one, two = (
        open_weights(made.save(tmp_path / f"x{s}", tensors)).tensors["a"].dtype for s in (".ckpt", ".safetensors")
    )
    assert one == two


@pytest.mark.parametrize("length", [128, 640])
def test_the_length_of_a_header_is_no_magic_number(tmp_path: Path, length: int) -> None:
    """A header of 128 bytes begins like a pickle."""
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode().ljust(length)
    (tmp_path / "x.safetensors").write_bytes(length.to_bytes(8, "little") + header + bytes(4))
    assert open_weights(tmp_path / "x.safetensors").shape("a") == (1,)


def test_the_format_before_pytorch_1_6(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(3)}, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    assert open_weights(tmp_path / "old.ckpt").shape("a") == (3,)


def test_wrappers_and_parallel_training_leave_no_trace(tmp_path: Path) -> None:
    torch.save({"epoch": 1, "state_dict": {"module.a": torch.ones(1), "module.b": torch.ones(1)}}, tmp_path / "x.ckpt")
    assert list(open_weights(tmp_path / "x.ckpt").tensors) == ["a", "b"]


# --- what cannot be read


class Evil:
    """Unpickled by an ordinary reader, it makes a file."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.witness,)


@pytest.mark.parametrize("how", ["zip", "old", "bare"])
def test_a_pickle_with_code_never_runs(tmp_path: Path, how: str) -> None:
    witness, path = tmp_path / "witness", tmp_path / "evil.ckpt"
    content = {"state_dict": {"a": torch.ones(1)}, "callback": Evil(witness)}
    if how == "bare":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "zip")
    pickle_it = pickle.loads(pickle.dumps(Evil(witness)))
    assert pickle_it is None
    assert witness.exists(), "the trap itself must work"
    witness.unlink()
    message = refused(path)
    assert not witness.exists()
    assert "tries to run" in message or how == "bare"
    assert "none of its code was run" in message


def test_a_pickle_with_a_class_names_it(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "callbacks": {made.Path: FileFacts}}, tmp_path / "x.ckpt")
    assert "tries to run" in refused(tmp_path / "x.ckpt")


def _no_pickle(path: Path) -> None:
    path.write_bytes(b"\x80\x02 and then nothing that unpickles")


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")


def _header_without_tensors(path: Path) -> None:
    raw = json.dumps({"a": 1}).encode()
    path.write_bytes(len(raw).to_bytes(8, "little") + raw)


@pytest.mark.parametrize(
    ("spoil", "part"),
    [
        (lambda path: path.write_text("prompt: a face\n" * 100), "is a text file, not a weight file"),
        (lambda path: path.write_text("short"), "is a text file, not a weight file"),
        (lambda path: path.write_text("cos\nsystem\n(S'true'\ntR."), "is a text file, not a weight file"),
        (lambda path: path.write_text("<!DOCTYPE html><html>log in</html>"), "web page"),
        (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(bytes(range(256)) * 8), "not a weight file"),
        (_no_pickle, "not a pickle of tensors"),
        (_zip, "is a zip archive, but not a PyTorch checkpoint"),
        (_header_without_tensors, "does not describe 'a'"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: None, "There is no weight file"),
    ],
)
def test_what_is_no_weight_file(tmp_path: Path, spoil: Callable[[Path], None], part: str) -> None:
    path = tmp_path / "model.safetensors"
    spoil(path)
    assert part in refused(path)


@pytest.mark.parametrize("keep", [0.001, 0.02, 0.5, 0.99])
@pytest.mark.parametrize("how", [".safetensors", ".ckpt", "old"])
def test_truncated_files(tmp_path: Path, how: str, keep: float) -> None:
    path = tmp_path / ("x.ckpt" if how == "old" else f"x{how}")
    if how == "old":
        torch.save(made.filled({"a": (200, 100), "b": (100,)}), path, _use_new_zipfile_serialization=False)
    else:
        made.save(path, made.filled({"a": (200, 100), "b": (100,)}))
    path.write_bytes(path.read_bytes()[: max(9, int(path.stat().st_size * keep))])
    message = refused(path)
    assert "truncated" in message or "damaged" in message


def test_a_truncated_safetensors_file_says_how_much_is_there(tmp_path: Path) -> None:
    path = made.save(tmp_path / "x.safetensors", {"a": torch.zeros(1000)})
    whole = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1000])
    assert f"truncated: it has only {whole - 1000:,} of {whole:,} bytes" in refused(path)


# --- kinds


def facts(tmp_path: Path, shapes: made.Shapes) -> FileFacts:
    return identify(made.save(tmp_path / "x.safetensors", {name: torch.zeros(shape) for name, shape in shapes.items()}))


def test_a_checkpoint_and_its_numbers(tmp_path: Path) -> None:
    shapes = made.sd1_shapes()
    found = facts(tmp_path, shapes)
    assert (found.kind, found.base, found.prediction) == ("checkpoint", "sd15", "eps")
    assert found.parameters == sum(torch.Size(shape).numel() for shape in shapes.values())
    assert found.bytes == (tmp_path / "x.safetensors").stat().st_size
    assert found.dtype == "F32"
    assert found.details["parts"] == ("unet", "vae", "text_encoder")
    assert found.what == "a Stable Diffusion 1.x checkpoint"


OPEN_CLIP = {"cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight": (3072, 1024)}
CONTROL = made.layer("control_model.input_hint_block.0", (16, 3, 3, 3))


@pytest.mark.parametrize(
    ("shapes", "kind", "base", "prediction"),
    [
        (made.unet_shapes(), "checkpoint", "sd15", "eps"),
        (made.unet_shapes(prefix=""), "checkpoint", "sd15", "eps"),
        (made.unet_shapes() | {"v_pred": ()}, "checkpoint", "sd15", "v"),
        (made.unet_shapes(in_channels=9), "checkpoint", "sd15", "eps"),
        (made.unet_shapes(context=1024, linear=True) | OPEN_CLIP, "checkpoint", "sd2", ""),
        (made.unet_shapes((32, 64, 64), linear=True, label=96, context=2048), "checkpoint", "sdxl", "eps"),
        (made.unet_shapes(linear=True, label=96, context=1280), "checkpoint", "sdxl-refiner", "eps"),
        (made.vae_shapes(), "vae", "", ""),
        (made.vae_shapes(prefix=""), "vae", "", ""),
        (made.clip_shapes(768), "text-encoder", "", ""),
        (made.motion_lora_shapes(), "motion-lora", "sd15", ""),
        (made.motion_lora_shapes(widths=(32, 64, 64)), "motion-lora", "sdxl", ""),
        (CONTROL | made.unet_shapes(context=768, prefix="control_model."), "controlnet", "sd15", ""),
        (made.layer("input_hint_block.0", (16, 3, 3, 3)) | made.unet_shapes(prefix=""), "controlnet", "sd15", ""),
        (made.layer("controlnet_cond_embedding.conv_in", (16, 3, 3, 3)), "controlnet", "sd15", ""),
        (
            made.layer("controlnet_cond_embedding.conv_in", (16, 3, 3, 3))
            | made.layer("add_embedding.linear_1", (1280, 2816)),
            "controlnet",
            "sdxl",
            "",
        ),
        ({"emb_params": (8, 768)}, "embedding", "sd15", ""),
        ({"clip_l": (8, 768), "clip_g": (8, 1280)}, "embedding", "sdxl", ""),
        ({"string_to_param.*": (2, 1024)}, "embedding", "sd2", ""),
        ({"<cat-toy>": (768,)}, "embedding", "sd15", ""),
        ({"something.else.weight": (3, 3)}, "unknown", "", ""),
        ({"double_blocks.0.img_attn.qkv.weight": (9, 3), "x": (3,)}, "unknown", "", ""),
    ],
)  # fmt: skip
def test_kinds(shapes: made.Shapes, kind: str, base: str, prediction: str) -> None:
    found = recognize(shapes)
    assert (found.kind, found.base, found.prediction) == (kind, base, prediction)


@pytest.mark.parametrize(
    ("version", "name", "limit", "middle"),
    [
        ("v1", "AnimateDiff v1", 24, False),
        ("v2", "AnimateDiff v2", 32, True),
        ("v3", "AnimateDiff v3", 32, False),
        ("lcm", "AnimateLCM", 64, True),
    ],
)
def test_motion_modules(version: str, name: str, limit: int, middle: bool) -> None:
    found = recognize(made.motion_shapes(version))
    assert (found.kind, found.base) == ("motion-module", "sd15")
    assert found.details == {
        "version": name, "limit": limit, "mid_block": middle, "widths": made.WIDTHS, "layout": "original",
    }  # fmt: skip


def test_motion_modules_of_sdxl() -> None:
    found = recognize(made.motion_shapes("sdxl", (32, 64, 128)))
    assert (found.kind, found.base, found.details["version"]) == ("motion-module", "sdxl", "AnimateDiff SDXL")
    hotshot = recognize({"down_blocks.0.temporal_attentions.0.norm.weight": (320,)})
    assert (hotshot.kind, hotshot.base, hotshot.details["version"]) == ("motion-module", "sdxl", "HotShot-XL")


def test_motion_modules_in_the_diffusers_layout() -> None:
    diffusers = pytest.importorskip("diffusers")
    adapter = diffusers.MotionAdapter((32, 64, 64, 64), motion_num_attention_heads=8, motion_norm_num_groups=32)
    found = recognize({name: tuple(tensor.shape) for name, tensor in adapter.state_dict().items()})
    assert found.details == {
        "version": "AnimateDiff v2", "limit": 32, "mid_block": True, "widths": made.WIDTHS, "layout": "diffusers",
    }  # fmt: skip


ATTENTION = "down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
DOTTED = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2"


@pytest.mark.parametrize(("width", "base"), [(768, "sd15"), (1024, "sd2"), (2048, "sdxl"), (64, "")])
@pytest.mark.parametrize(
    ("down", "up", "layout"),
    [
        (f"lora_unet_{ATTENTION}.lora_down.weight", f"lora_unet_{ATTENTION}.lora_up.weight", "kohya"),
        (f"{DOTTED}.to_k.lora_A.weight", f"{DOTTED}.to_k.lora_B.weight", "peft"),
        (f"{DOTTED}.processor.to_k_lora.down.weight", f"{DOTTED}.processor.to_k_lora.up.weight", "diffusers"),
    ],
)
def test_loras(down: str, up: str, layout: str, width: int, base: str) -> None:
    found = recognize({down: (4, width), up: (320, 4)})
    assert (found.kind, found.base, found.details["layout"], found.details["rank"]) == ("lora", base, layout, 4)


def test_loras_that_leave_the_text_alone() -> None:
    te = "text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight"
    assert recognize({f"lora_te_{te}": (4, 768)}).base == "sd15"
    assert recognize({f"lora_te1_{te}": (4, 768)}).base == "sdxl"
    assert recognize({"lora_unet_down_blocks_1_attentions_0_transformer_blocks_1_attn1_to_q.lora_down.weight": (4, 640)}
                   ).base == "sdxl"  # fmt: skip
    assert recognize({"lora_unet_double_blocks_0_img_attn_proj.lora_down.weight": (4, 3072)}).base == "flux"


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        (made.motion_shapes("v3"), "an AnimateDiff v3 motion module for Stable Diffusion 1.x"),
        (made.motion_shapes("sdxl", (32, 64, 64)), "an AnimateDiff SDXL motion module for Stable Diffusion XL"),
        ({f"lora_unet_{ATTENTION}.lora_down.weight": (4, 2048)}, "a LoRA for Stable Diffusion XL"),
        ({f"lora_unet_{ATTENTION}.lora_down.weight": (4, 99)}, "a LoRA"),
        (made.vae_shapes(), "a VAE"),
        ({"joint_blocks.0.x.weight": (2, 2), "y.z": (1,)}, "a Stable Diffusion 3 model"),
        ({"y.z": (1,)}, "a weight file of unknown kind"),
    ],
)
def test_kinds_have_words(tmp_path: Path, shapes: made.Shapes, words: str) -> None:
    assert facts(tmp_path, shapes).what == words


def test_a_file_of_another_kind_says_what_it_is_and_what_was_wanted(tmp_path: Path) -> None:
    path = thin(tmp_path / "mm.ckpt")
    file, found = open_as(path, ("motion-module",), "a motion module")
    assert found.details["version"] == "AnimateDiff v2"
    assert len(file.tensors) > 20
    with pytest.raises(ModelError) as caught:
        open_as(path, ("lora",), "a LoRA (--lora)")
    assert str(caught.value) == (
        f"{path} is an AnimateDiff v2 motion module for Stable Diffusion 1.x; give a LoRA (--lora) instead."
    )


def test_diffusers_parts(tmp_path: Path, model_folder: Path) -> None:
    kinds = {
        part: identify(next((model_folder / part).glob("*.safetensors"))).kind
        for part in ("unet", "motion_adapter", "vae", "text_encoder")
    }
    assert kinds == {
        "unet": "checkpoint",
        "motion_adapter": "motion-module",
        "vae": "vae",
        "text_encoder": "text-encoder",
    }


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="is not a file on disk"):
        open_weights(tmp_path / "model.safetensors")


@pytest.mark.parametrize("name", ["\ud800.safetensors", "a\0b.safetensors", "x" * 5000])
def test_names_that_no_file_can_have(name):
    with pytest.raises(ModelError, match="There is no weight file"):
        open_weights(name)
