"""What is told and added to Stable Diffusion XL: prompts for two encoders, embeddings, LoRA and ControlNets."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from redetail.engines import enhance_arrays, load_engine
from redetail.engines.base import CropSource
from redetail.engines.device import Placement
from redetail.engines.spec import ControlFile, ModelSpec, WeightedFile
from redetail.engines.stable_diffusion.components import Components, load_components
from redetail.engines.stable_diffusion.conditions import StatesWholeAndSize, TextCondition, joined
from redetail.engines.stable_diffusion.control import load_controls, show
from redetail.engines.stable_diffusion.embedding import load_embeddings
from redetail.engines.stable_diffusion.lora_layers import lora_mixer
from redetail.engines.stable_diffusion.network import MotionNetwork
from redetail.engines.stable_diffusion.noise import noise_table
from redetail.engines.stable_diffusion.text import TextConditioner
from redetail.errors import ModelError, RedetailError, SettingsError
from redetail.sampling import StepIndex, VarianceExploding
from redetail.settings import Settings
from tests.engines import originals as made

CPU = Placement(torch.device("cpu"), torch.float32)
SHAPE = (5, 64, 48, 3)


@pytest.fixture(scope="module")
def parts(xl_spec: ModelSpec) -> Components:
    return load_components(xl_spec, CPU)


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def conditioner(parts: Components, *embeddings: Path) -> StatesWholeAndSize:
    """As the engine makes it."""
    loaded = [load_embeddings(embeddings, width, key) for width, key in ((64, "clip_l"), (96, "clip_g"))]
    return StatesWholeAndSize([
        TextConditioner(text.tokenizer, text.encoder, own, normed=False)
        for text, own in zip(parts.texts, loaded, strict=True)
    ])  # fmt: skip


def outputs(parts: Components, prompt: str) -> list[Any]:
    """What both encoders make of a short prompt, as their libraries run them."""
    made_of = []
    for text in parts.texts:
        ids = text.tokenizer(prompt, padding="max_length", max_length=77, return_tensors="pt").input_ids
        made_of.append(text.encoder(ids, output_hidden_states=True))
    return made_of


def side_by_side(parts: Components, prompt: str, layer: int = -2) -> Tensor:
    return torch.cat([one.hidden_states[layer] for one in outputs(parts, prompt)], -1)


# --- prompts


def test_both_encoders_are_read_before_their_last_layer(parts: Components) -> None:
    positive, negative = conditioner(parts).pair("a face", "blur", SHAPE, clip_skip=2)
    torch.testing.assert_close(positive.states, side_by_side(parts, "a face"), atol=1e-5, rtol=0)
    torch.testing.assert_close(negative.states, side_by_side(parts, "blur"), atol=1e-5, rtol=0)
    torch.testing.assert_close(positive.added["text_embeds"], outputs(parts, "a face")[1].text_embeds)
    for condition in (positive, negative):
        assert condition.added["time_ids"].tolist() == [[64, 48, 0, 0, 64, 48]]
    last, _ = conditioner(parts).pair("a face", "blur", SHAPE, clip_skip=1)
    torch.testing.assert_close(last.states, side_by_side(parts, "a face", -1), atol=1e-5, rtol=0)
    assert torch.equal(last.added["text_embeds"], positive.added["text_embeds"])


def test_no_negative_is_zeros_and_an_empty_prompt_is_not(parts: Components) -> None:
    positive, negative = conditioner(parts).pair("", " ", SHAPE, clip_skip=2)
    assert not negative.states.any()
    assert not negative.added["text_embeds"].any()
    torch.testing.assert_close(positive.states, side_by_side(parts, ""), atol=1e-5, rtol=0)


def test_weights_act_on_the_states_of_both(parts: Components) -> None:
    """state = empty + weight * (state - empty) at the place of the word (the third token)."""
    plain, weighted = (conditioner(parts).pair(text, "", SHAPE, clip_skip=2)[0] for text in ("a face", "a (face:1.3)"))
    expected, empty = side_by_side(parts, "a face"), side_by_side(parts, "")
    expected[:, 2] = empty[:, 2] + 1.3 * (expected[:, 2] - empty[:, 2])
    torch.testing.assert_close(weighted.states, expected, atol=1e-5, rtol=0)
    assert torch.equal(weighted.added["text_embeds"], plain.added["text_embeds"])


@pytest.mark.parametrize("text", ["face " * 75 + "smile", "face " * 75 + "BREAK smile"])
def test_long_prompts_go_on_in_chunks_of_both(parts: Components, text: str) -> None:
    positive, negative = conditioner(parts).pair(text, "blur", SHAPE, clip_skip=2)
    assert positive.states.shape == negative.states.shape == (1, 154, 160)
    torch.testing.assert_close(positive.states[:, :77], side_by_side(parts, "face " * 75), atol=1e-5, rtol=0)
    torch.testing.assert_close(positive.states[:, 77:], side_by_side(parts, "smile"), atol=1e-5, rtol=0)
    torch.testing.assert_close(positive.added["text_embeds"], outputs(parts, "face " * 75)[1].text_embeds)


def test_prompts_over_time(parts: Components) -> None:
    """States of every frame; of the whole text a window has one, the mean of its frames."""
    smile, laugh = (outputs(parts, word)[1].text_embeds for word in ("smile", "laugh"))
    changing, still = conditioner(parts).pair("0: smile; 4: laugh", "blur", SHAPE, clip_skip=2)
    assert changing.states.shape == (5, 77, 160)
    torch.testing.assert_close(changing.states[1], torch.lerp(
        side_by_side(parts, "smile"), side_by_side(parts, "laugh"), 0.25)[0], atol=1e-5, rtol=0)  # fmt: skip
    window = slice(1, 4)
    states, added = joined([changing.at(window), still.at(window)], 3)
    assert states.shape == (6, 77, 160)
    assert torch.equal(states[:3], changing.states[1:4])
    torch.testing.assert_close(added["text_embeds"][:1], (smile + laugh) / 2)
    assert added["time_ids"].shape == (2, 6)


def test_the_layer_must_exist_in_both(parts: Components) -> None:
    with pytest.raises(SettingsError, match="clip-skip is 3; this model's text encoder has 2 layers, so use 1 to 2"):
        conditioner(parts).check("a", clip_skip=3)


def test_embeddings_have_vectors_for_both(parts: Components, tmp_path: Path) -> None:
    """The vectors of a known word under another name are that word."""
    ids = parts.texts[0].tokenizer("face", add_special_tokens=False).input_ids
    one, two = (text.encoder.get_input_embeddings().weight[ids].clone() for text in parts.texts)
    path = made.save(tmp_path / "myface.safetensors", {"clip_l": one, "clip_g": two})
    found, _ = conditioner(parts, path).pair("a myface", "", SHAPE, clip_skip=2)
    torch.testing.assert_close(found.states, side_by_side(parts, "a face"), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.added["text_embeds"], outputs(parts, "a face")[1].text_embeds)


def test_embeddings_that_do_not_fit(xl_thinnest: ModelSpec, tmp_path: Path) -> None:
    for name, tensors, words in (
        (
            "one",
            {"emb_params": torch.ones(2, 64)},
            "has vectors of width 64, but this model's text encoder reads 32",
        ),
        ("uneven", {"clip_l": torch.ones(2, 32), "clip_g": torch.ones(3, 32)}, "a different number of vectors"),
    ):
        path = made.save(tmp_path / f"{name}.safetensors", tensors)
        with pytest.raises(ModelError, match=words):
            load_engine(replace(xl_thinnest, embeddings=(path,)), device="cpu")


# --- LoRA

RANK, ALPHA = 4, 2.0
BLOCK = "transformer_blocks.0.attn1.to_q"
# From the layer to the names that programs give it: kohya's scripts in the blocks of the original code and of
# diffusers, peft, and diffusers before peft.
LAYERS: dict[tuple[str, str], dict[str, str]] = {
    ("unet", f"down_blocks.1.attentions.0.{BLOCK}"): {
        "sgm": "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q",
        "kohya": "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q",
        "peft": f"unet.down_blocks.1.attentions.0.{BLOCK}",
    },
    ("unet", "down_blocks.2.attentions.1.transformer_blocks.1.attn2.to_v"): {
        "sgm": "lora_unet_input_blocks_8_1_transformer_blocks_1_attn2_to_v",
        "kohya": "lora_unet_down_blocks_2_attentions_1_transformer_blocks_1_attn2_to_v",
        "peft": "unet.down_blocks.2.attentions.1.transformer_blocks.1.attn2.to_v",
    },
    ("unet", "mid_block.attentions.0.proj_in"): {
        "sgm": "lora_unet_middle_block_1_proj_in",
        "kohya": "lora_unet_mid_block_attentions_0_proj_in",
        "peft": "unet.mid_block.attentions.0.proj_in",
    },
    ("unet", "up_blocks.0.attentions.2.transformer_blocks.1.ff.net.0.proj"): {
        "sgm": "lora_unet_output_blocks_2_1_transformer_blocks_1_ff_net_0_proj",
        "kohya": "lora_unet_up_blocks_0_attentions_2_transformer_blocks_1_ff_net_0_proj",
        "peft": "unet.up_blocks.0.attentions.2.transformer_blocks.1.ff.net.0.proj",
    },
    ("unet", "add_embedding.linear_1"): {
        "sgm": "lora_unet_label_emb_0_0", "kohya": "lora_unet_add_embedding_linear_1", "peft":
        "unet.add_embedding.linear_1",
    },
    ("text", "encoder.layers.0.self_attn.q_proj"): {
        "sgm": "lora_te1_text_model_encoder_layers_0_self_attn_q_proj",
        "kohya": "lora_te1_text_model_encoder_layers_0_self_attn_q_proj",
        "peft": "text_encoder.text_model.encoder.layers.0.self_attn.q_proj",
    },
    ("text_2", "encoder.layers.1.mlp.fc1"): {
        "sgm": "lora_te2_text_model_encoder_layers_1_mlp_fc1",
        "kohya": "lora_te2_text_model_encoder_layers_1_mlp_fc1",
        "peft": "text_encoder_2.text_model.encoder.layers.1.mlp.fc1",
    },
}  # fmt: skip
ENDS = {"sgm": ("lora_down.weight", "lora_up.weight"), "kohya": ("lora_down.weight", "lora_up.weight"),
        "peft": ("lora_A.weight", "lora_B.weight")}  # fmt: skip


def networks(parts: Components) -> dict[str, nn.Module]:
    """Copies that a test may change."""
    return {
        "unet": copy.deepcopy(parts.unet),
        "text": copy.deepcopy(parts.texts[0].encoder),
        "text_2": copy.deepcopy(parts.texts[1].encoder),
    }


def layer(network: nn.Module, name: str) -> Any:
    return next(module for found, module in network.named_modules() if found.removeprefix("text_model.") == name)


def lora_file(parts: Components, path: Path, layout: str) -> tuple[Path, dict[tuple[str, str], Tensor]]:
    """A file in this layout, and what it adds to each layer at strength 1."""
    generator, tensors, deltas = torch.Generator().manual_seed(3), dict[str, Tensor](), {}
    own = {"unet": parts.unet, "text": parts.texts[0].encoder, "text_2": parts.texts[1].encoder}
    for (part, name), names in LAYERS.items():
        out, width = layer(own[part], name).weight.shape
        down, up = torch.randn(RANK, width, generator=generator), torch.randn(out, RANK, generator=generator)
        tensors |= {f"{names[layout]}.{ENDS[layout][0]}": down, f"{names[layout]}.{ENDS[layout][1]}": up}
        scale = 1.0
        if layout != "peft":
            tensors[f"{names[layout]}.alpha"], scale = torch.tensor(ALPHA), ALPHA / RANK
        deltas[part, name] = scale * up @ down
    return made.save(path, tensors), deltas


@pytest.mark.parametrize("layout", ["sgm", "kohya", "peft"])
def test_a_lora_in_every_layout(
    parts: Components, tmp_path: Path, layout: str, caplog: pytest.LogCaptureFixture
) -> None:
    """W + 0.7 * alpha / rank * up @ down in the UNet and both encoders, and back to the bits that were loaded."""
    path, deltas = lora_file(parts, tmp_path / "style.safetensors", layout)
    own = networks(parts)
    before = {part: {n: t.clone() for n, t in network.state_dict().items()} for part, network in own.items()}
    mixer = lora_mixer(own["unet"], own["text"], own["text_2"])
    mixer.use([WeightedFile(path, 0.7)])
    for (part, name), delta in deltas.items():
        key = next(key for key in before[part] if key.removeprefix("text_model.") == f"{name}.weight")
        changed = own[part].state_dict()[key]
        torch.testing.assert_close(changed, before[part][key] + 0.7 * delta, atol=1e-5, rtol=1e-5)
    assert "left out" not in caplog.text
    for loras in ([WeightedFile(path, 0.0)], []):
        mixer.use(loras)
        for part, network in own.items():
            assert all(torch.equal(tensor, before[part][name]) for name, tensor in network.state_dict().items())


def test_a_strength_of_zero_changes_no_bit_of_a_run(parts: Components, xl_spec: ModelSpec, tmp_path: Path) -> None:
    path, _ = lora_file(parts, tmp_path / "style.safetensors", "sgm")
    crops, mask = np.random.default_rng(3).random((2, 32, 32, 3), dtype=np.float32), np.ones((1, 32, 32), np.float32)
    engine, settings = load_engine(xl_spec, device="cpu"), Settings(prompt="a", steps=1, clip_skip=2)
    plain, none, some = (
        enhance_arrays(engine, crops, mask, replace(settings, loras=loras))
        for loras in ((), (f"{path}:0",), (f"{path}:1",))
    )
    np.testing.assert_array_equal(plain, none)
    assert np.abs(plain - some).max() > 1e-3


def test_a_lora_of_another_base_is_refused(xl_thinnest: ModelSpec, tmp_path: Path) -> None:
    stem = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
    tensors = {f"{stem}.lora_down.weight": torch.ones(4, 768), f"{stem}.lora_up.weight": torch.ones(640, 4)}
    path = made.save(tmp_path / "sd15.safetensors", tensors)
    with pytest.raises(RedetailError) as caught:
        load_engine(replace(xl_thinnest, loras=(WeightedFile(path),)), device="cpu")
    assert str(caught.value) == (
        f"{path} is a LoRA for Stable Diffusion 1.x, but this model is Stable Diffusion XL; "
        "use a LoRA for the same base model."
    )


# --- ControlNets


@pytest.fixture(scope="module")
def controls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same values in the original layout and as diffusers keeps them, in a folder and in a file."""
    diffusers = pytest.importorskip("diffusers")
    from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint

    folder = tmp_path_factory.mktemp("controls")
    shapes = made.control_shapes(
        widths=made.WIDTHS_XL, context=160, linear=True, label=32 + 1536, depths=(0, 1, 2)
    )  # fmt: skip
    tensors = made.filled(shapes, 5)
    made.save(folder / "original.safetensors", tensors)
    network = diffusers.ControlNetModel(
        block_out_channels=made.WIDTHS_XL,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        transformer_layers_per_block=(1, 1, 2),
        attention_head_dim=(1, 1, 2),
        cross_attention_dim=160,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=32 + 1536,
    )
    renamed = convert_controlnet_checkpoint(dict(tensors), dict(network.config))
    for place, end in ((1, "0.0"), (2, "0.2")):  # what diffusers' converter forgets
        renamed |= {f"add_embedding.linear_{place}.{kind}": tensors[f"label_emb.{end}.{kind}"]
                    for kind in ("weight", "bias")}  # fmt: skip
    network.load_state_dict(renamed)
    network.save_pretrained(folder / "folder")
    return folder


@pytest.mark.parametrize("name", ["original.safetensors", "folder", "folder/diffusion_pytorch_model.safetensors"])
def test_a_controlnet_is_told_what_the_unet_is(parts: Components, controls: Path, name: str) -> None:
    """One call by hand: every frame of every row is a picture with the text, the whole and the sizes of its row."""
    diffusers = pytest.importorskip("diffusers")
    peer = diffusers.ControlNetModel.from_pretrained(controls / "folder").eval()
    generator, frames = torch.manual_seed(0), 3
    hints = np.random.default_rng(1).random((frames, 64, 64, 3), dtype=np.float32)
    loaded = load_controls([ControlFile(controls / name, 0.8, hint="edges.mp4")], CPU, parts.unet.config)
    shown = show(loaded, CropSource.of(hints), {"edges.mp4": CropSource.of(hints)}, StepIndex((8.0, 1.0, 0.0)))
    sizes, path = (
        torch.tensor([[64, 64, 0, 0, 64, 64]]),
        VarianceExploding(noise_table(parts.scheduler, parts.family.betas)),
    )
    conditions = [
        TextCondition(torch.randn(1, 77, 160, generator=generator),
                      {"text_embeds": torch.randn(1, 32, generator=generator), "time_ids": sizes})
        for _ in range(2)
    ]  # fmt: skip
    x, sigma = torch.randn(frames, 4, 8, 8, generator=generator), path.sigmas[300]
    results = MotionNetwork(parts.unet, path, shown)(x, sigma, conditions)
    without = MotionNetwork(parts.unet, path)(x, sigma, conditions)
    for x0, plain, condition in zip(results, without, conditions, strict=True):
        text, whole = condition.states.expand(frames, -1, -1), condition.added["text_embeds"]
        pictures = path.scaled_input(x, sigma)
        levels, middle = peer(
            pictures, 300, text, torch.from_numpy(hints).movedim(-1, 1), 0.8, return_dict=False,
            added_cond_kwargs={"text_embeds": whole.repeat(frames, 1), "time_ids": sizes.repeat(frames, 1)},
        )  # fmt: skip
        eps = parts.unet(
            pictures.movedim(0, 1)[None], 300, text, added_cond_kwargs={"text_embeds": whole, "time_ids": sizes},
            down_block_additional_residuals=tuple(levels), mid_block_additional_residual=middle,
        ).sample[0].movedim(1, 0)  # fmt: skip
        torch.testing.assert_close(x0, x - sigma * eps, atol=1e-4, rtol=0)
        assert (x0 - plain).abs().max() > 1e-2


def test_controlnets_of_the_other_base(parts: Components, xl_thinnest: ModelSpec, tmp_path: Path) -> None:
    path = made.save(tmp_path / "sd15.safetensors", made.filled(made.control_shapes(), 5))
    with pytest.raises(ModelError, match=r"made for a UNet with widths \(32, 64, 64, 64\) .* use a ControlNet for the"):
        load_engine(replace(xl_thinnest, controls=(ControlFile(path),)), device="cpu")


def test_a_controlnet_of_strength_zero_changes_no_bit(xl_spec: ModelSpec, controls: Path) -> None:
    crops, mask = np.random.default_rng(3).random((2, 32, 32, 3), dtype=np.float32), np.ones((1, 32, 32), np.float32)
    settings = Settings(prompt="a", steps=1, clip_skip=2)
    plain, none, some = (
        enhance_arrays(load_engine(replace(xl_spec, controls=own), device="cpu"), crops, mask, settings)
        for own in ((), (ControlFile(controls / "folder", 0.0),), (ControlFile(controls / "folder"),))
    )
    np.testing.assert_array_equal(plain, none)
    assert np.abs(plain - some).max() > 1e-3
