"""Wan's parts in single files against diffusers' and transformers' own reading of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from redetail.engines import load_engine
from redetail.engines.architectures import recognize
from redetail.engines.architectures import wan as family
from redetail.engines.device import Placement, place
from redetail.engines.files import identify
from redetail.engines.latent import LatentEngine
from redetail.engines.spec import ModelSpec
from redetail.engines.wan.parts import open_text, open_transformer, open_vae
from redetail.engines.wan.tokenizer import TOKENS, open_tokenizer, sentencepiece_tokenizer
from redetail.errors import ModelError
from tests.engines import wan_files
from tests.engines.originals import save
from tests.engines.test_quantized import as_fp8, stored, write_gguf
from tests.engines.wan.test_engine import clip, enhanced
from tests.engines.wan_files import COMFY, SENTENCES, write_wan_files

# The same operations in the same order: what is left is the rounding of float32.
EQUAL = 1e-5


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_wan_files(tmp_path_factory.mktemp("wan") / "files")


@pytest.fixture(scope="module")
def cpu() -> Placement:
    return place("cpu", "float32")


def converted(kind: str, tensors: dict[str, Tensor], **config: Any) -> Any:
    """The network with what diffusers' own conversion makes of the tensors."""
    import diffusers
    from diffusers.loaders import single_file_utils

    convert = {
        "WanTransformer3DModel": single_file_utils.convert_wan_transformer_to_diffusers,
        "AutoencoderKLWan": single_file_utils.convert_wan_vae_to_diffusers,
    }[kind]
    network = getattr(diffusers, kind)(**config)
    network.load_state_dict(convert(dict(tensors)), strict=True)
    return network.eval()


# --- agreement


@pytest.mark.parametrize("prefix", ["", COMFY, "diffusion_model."])
@torch.no_grad()
def test_the_transformer_is_the_one_that_diffusers_converts(tmp_path: Path, cpu: Placement, prefix: str) -> None:
    path = save(tmp_path / "wan.safetensors", wan_files.transformer_tensors(prefix))
    network = open_transformer(path).load(cpu)
    reference = converted(
        "WanTransformer3DModel", wan_files.transformer_tensors(), num_attention_heads=2, attention_head_dim=128,
        text_dim=wan_files.TEXT, freq_dim=wan_files.FREQUENCIES, ffn_dim=wan_files.FFN, num_layers=wan_files.LAYERS,
    )  # fmt: skip
    given = {
        "hidden_states": torch.randn(1, 16, 3, 4, 6, generator=torch.Generator().manual_seed(1)),
        "timestep": torch.tensor([300.0]),
        "encoder_hidden_states": torch.randn(1, 7, wan_files.TEXT, generator=torch.Generator().manual_seed(2)),
    }
    torch.testing.assert_close(network(**given)[0], reference(**given)[0], atol=EQUAL, rtol=EQUAL)


@torch.no_grad()
def test_the_vae_is_the_one_that_diffusers_converts(files: dict[str, Path], cpu: Placement) -> None:
    vae = open_vae(files["vae"]).load(cpu)
    reference = converted("AutoencoderKLWan", wan_files.vae_tensors(), base_dim=4)
    clip = torch.rand(1, 3, 5, 16, 24, generator=torch.Generator().manual_seed(1)) * 2 - 1
    latents = reference.encode(clip).latent_dist.mean
    torch.testing.assert_close(vae.encode(clip).latent_dist.mean, latents, atol=EQUAL, rtol=EQUAL)
    torch.testing.assert_close(vae.decode(latents).sample, reference.decode(latents).sample, atol=EQUAL, rtol=EQUAL)
    assert list(vae.config.latents_std) == list(reference.config.latents_std)


@torch.no_grad()
def test_the_text_encoder_is_the_one_of_transformers(files: dict[str, Path], cpu: Placement) -> None:
    import transformers

    part = open_text(files["text_encoder"])
    encoder = part.network.load(cpu)
    reference = transformers.UMT5EncoderModel(
        transformers.UMT5Config(vocab_size=64, d_model=wan_files.TEXT, d_kv=8, d_ff=48, num_layers=2, num_heads=4)
    ).eval()
    tensors = wan_files.text_tensors()
    del tensors["spiece_model"]
    reference.load_state_dict({**tensors, "encoder.embed_tokens.weight": tensors["shared.weight"]}, strict=True)
    tokens = torch.tensor([list(part.tokenizer()(SENTENCES[0]))])
    states = encoder(tokens).last_hidden_state
    torch.testing.assert_close(states, reference(tokens).last_hidden_state, atol=EQUAL, rtol=EQUAL)
    assert encoder.encoder.embed_tokens is encoder.shared


def test_names_of_its_authors_mean_the_same_text_encoder(tmp_path: Path, cpu: Placement) -> None:
    """The .pth that Wan publishes; it holds no tokenizer, so one lies beside it."""
    own = {
        "shared": "token_embedding", "encoder.final_layer_norm": "norm", "encoder.block": "blocks",
        "layer.0.SelfAttention.relative_attention_bias": "pos_embedding.embedding", "layer.0.SelfAttention": "attn",
        "layer.0.layer_norm": "norm1", "layer.1.layer_norm": "norm2", "layer.1.DenseReluDense.wi_0": "ffn.gate.0",
        "layer.1.DenseReluDense.wi_1": "ffn.fc1", "layer.1.DenseReluDense.wo": "ffn.fc2",
    }  # fmt: skip
    tensors = wan_files.text_tensors()
    del tensors["spiece_model"]
    renamed = {}
    for name, tensor in tensors.items():
        for new, old in own.items():
            name = name.replace(new, old)
        renamed[name] = tensor
    path = save(tmp_path / "t5.pth", renamed)
    with pytest.raises(ModelError, match=r"has no tokenizer; put the model's tokenizer\.json next to it"):
        open_text(path)
    (tmp_path / "spiece.model").write_bytes(wan_files.sentencepiece_model())
    part = open_text(path)
    loaded = part.network.load(cpu).state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())
    assert part.tokenizer()("a face")[-1] == 1


@pytest.mark.parametrize(
    "text", [*SENTENCES, "", "sharp  eyes,  skin ", " \u00fcber \u00bd face", "\u65e5\u672c a face"]
)
def test_tokens_are_those_of_transformers(tmp_path: Path, text: str) -> None:
    import transformers

    (tmp_path / "spiece.model").write_bytes(wan_files.sentencepiece_model())
    reference = transformers.T5Tokenizer.from_pretrained(str(tmp_path))
    assert list(open_tokenizer(tmp_path / "spiece.model")(text)) == reference(text).input_ids


def test_a_long_prompt_is_cut_before_its_end_token() -> None:
    tokens = sentencepiece_tokenizer(wan_files.sentencepiece_model(), Path("a"))("face " * 1000)
    assert (len(tokens), tokens[-1]) == (TOKENS, 1)


# --- quantised


def matrices(tensors: dict[str, Tensor], part: str) -> list[str]:
    """The layers that published files quantise: the matrices of the blocks."""
    return [name for name, one in tensors.items() if part in name and one.ndim == 2 and "norm" not in name]


def quantised(path: Path, form: str, tensors: dict[str, Tensor], part: str) -> tuple[Path, dict[str, Tensor]]:
    """A file in one of the quantised forms, and the tensors that it stands for."""
    chosen, exact = matrices(tensors, part), dict(tensors)
    if form == "Q8_0":
        import gguf

        kind = gguf.GGMLQuantizationType.Q8_0
        for name in chosen:
            values = gguf.dequantize(gguf.quantize(tensors[name].numpy(), kind), kind)
            exact[name] = torch.from_numpy(values)
        return write_gguf(path.with_suffix(".gguf"), tensors, dict.fromkeys(chosen, form)), exact
    written = dict(tensors)
    for name in chosen:
        written |= stored(form, name.removesuffix(".weight"), tensors[name])
        values, scale = as_fp8(tensors[name])
        exact[name] = values.float() * scale
    return save(path, written), exact


@pytest.mark.parametrize("form", ["older", "newer", "Q8_0"])
def test_quantised_transformers_load_as_what_they_stand_for(tmp_path: Path, cpu: Placement, form: str) -> None:
    prefix = "" if form == "Q8_0" else COMFY
    path, exact = quantised(tmp_path / "a.safetensors", form, wan_files.transformer_tensors(prefix), "blocks.")
    assert identify(path).option == "--checkpoint"
    loaded = open_transformer(path).load(cpu).state_dict()
    reference = open_transformer(save(tmp_path / "b.safetensors", exact)).load(cpu).state_dict()
    assert loaded.keys() == reference.keys()
    assert all(torch.equal(loaded[name], reference[name]) for name in reference)
    original = wan_files.transformer_tensors()["blocks.1.ffn.0.weight"]
    assert not torch.equal(loaded["blocks.1.ffn.net.0.proj.weight"], original)


@pytest.mark.parametrize("form", ["older", "newer"])
def test_quantised_text_encoders_load_as_what_they_stand_for(tmp_path: Path, cpu: Placement, form: str) -> None:
    path, exact = quantised(tmp_path / "a.safetensors", form, wan_files.text_tensors(), "block.")
    loaded = open_text(path).network.load(cpu).state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in exact.items() if name != "spiece_model")


def test_a_text_encoder_in_the_names_of_llama_cpp(tmp_path: Path, cpu: Placement) -> None:
    own = {
        "shared": "token_embd", "encoder.final_layer_norm": "enc.output_norm", "encoder.block": "enc.blk",
        "layer.0.SelfAttention.relative_attention_bias": "attn_rel_b", "layer.0.SelfAttention.": "attn_",
        "layer.0.layer_norm": "attn_norm", "layer.1.layer_norm": "ffn_norm", "layer.1.DenseReluDense.wi_0": "ffn_gate",
        "layer.1.DenseReluDense.wi_1": "ffn_up", "layer.1.DenseReluDense.wo": "ffn_down",
    }  # fmt: skip
    tensors = wan_files.text_tensors()
    del tensors["spiece_model"]
    renamed = {}
    for name, tensor in tensors.items():
        for new, old in own.items():
            name = name.replace(new, old)
        renamed[name] = tensor
    (tmp_path / "spiece.model").write_bytes(wan_files.sentencepiece_model())
    part = open_text(write_gguf(tmp_path / "umt5.gguf", renamed, {}))
    loaded = part.network.load(cpu).state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())


# --- whole models


def test_files_give_what_a_folder_of_the_same_weights_gives(files: dict[str, Path], tmp_path: Path) -> None:
    import diffusers
    import transformers

    cpu = place("cpu", "float32")
    open_transformer(files["checkpoint"]).load(cpu).save_pretrained(tmp_path / "transformer")
    converted("AutoencoderKLWan", wan_files.vae_tensors(), base_dim=4).save_pretrained(tmp_path / "vae")
    open_text(files["text_encoder"]).network.load(cpu).save_pretrained(tmp_path / "text_encoder")
    (tmp_path / "spiece.model").write_bytes(wan_files.sentencepiece_model())
    transformers.T5Tokenizer.from_pretrained(str(tmp_path)).save_pretrained(tmp_path / "tokenizer")
    diffusers.FlowMatchEulerDiscreteScheduler(shift=8.0).save_pretrained(tmp_path / "scheduler")
    from_folder = enhanced(load_engine(tmp_path, device="cpu"), clip(5), shift=0.0)
    engine = load_engine(ModelSpec(**files), device="cpu")
    assert isinstance(engine, LatentEngine)
    np.testing.assert_allclose(enhanced(engine, clip(5), shift=0.0), from_folder, atol=EQUAL)
    mixed = ModelSpec(checkpoint=files["checkpoint"], vae=tmp_path / "vae", text_encoder=tmp_path / "text_encoder")
    np.testing.assert_allclose(enhanced(load_engine(mixed, device="cpu"), clip(5), shift=0.0), from_folder, atol=EQUAL)
    other = ModelSpec(checkpoint=tmp_path, vae=files["vae"], text_encoder=files["text_encoder"])
    np.testing.assert_allclose(enhanced(load_engine(other, device="cpu"), clip(5), shift=0.0), from_folder, atol=EQUAL)


def test_what_each_file_is(files: dict[str, Path]) -> None:
    facts = [identify(files[name]) for name in ("checkpoint", "vae", "text_encoder")]
    assert [one.base for one in facts] == ["wan"] * 3
    assert [one.option for one in facts] == ["--checkpoint", "--vae", "--text-encoder"]
    known = {"layout": "original", "prefix": COMFY, "in_channels": 16, "width": wan_files.WIDTH}
    assert facts[0].details == {**known, "blocks": wan_files.LAYERS}
    assert facts[2].details["tokenizer"]


# --- refusals


def refused(**files: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_engine(ModelSpec(**files), device="cpu")
    return str(caught.value)


def test_a_transformer_alone_asks_for_what_goes_with_it(files: dict[str, Path]) -> None:
    alone = refused(checkpoint=files["checkpoint"])
    assert alone.endswith("is only the transformer of Wan; also give: --vae and --text-encoder.")
    half = refused(checkpoint=files["checkpoint"], vae=files["vae"])
    assert half.endswith("also give: --text-encoder.")


def test_files_in_each_others_places_are_named(files: dict[str, Path]) -> None:
    swapped = {**files, "vae": files["text_encoder"], "text_encoder": files["vae"]}
    assert "is a UMT5 text encoder for Wan; give a VAE of Wan instead." in refused(**swapped)
    assert "is a UMT5 text encoder for Wan; give" in refused(checkpoint=files["text_encoder"])
    assert "give a UMT5 text encoder instead." in refused(**{**files, "text_encoder": files["vae"]})


@pytest.mark.parametrize(
    ("extra", "what"),
    [
        ({"vace_blocks.0.after_proj.weight": (8, 8)}, "for VACE"),
        ({"img_emb.proj.0.weight": (8,)}, "for image to video"),
        ({"face_adapter.fuser_blocks.0.q_norm.weight": (8,)}, "for Animate"),
        ({"control_adapter.conv.weight": (8, 8)}, "for camera control"),
        ({"ref_conv.weight": (8, 8)}, "for Fun Control"),
        ({"casual_audio_encoder.weights": (8,)}, "for speech to video"),
        ({"patch_embedding.weight": (256, 36, 1, 2, 2)}, r"for image-to-video or control \(36 channels\)"),
        ({"patch_embedding.weight": (256, 48, 1, 2, 2)}, r"for the 48-channel VAE of the 5B-parameter Wan 2\.2"),
    ],
)
def test_transformers_for_more_than_text_are_named(tmp_path: Path, extra: dict[str, Any], what: str) -> None:
    shapes = {**wan_files.transformer_shapes(COMFY), **{COMFY + name: shape for name, shape in extra.items()}}
    path = save(tmp_path / "other.safetensors", {name: torch.zeros(shape) for name, shape in shapes.items()})
    with pytest.raises(ModelError, match=rf"an unsupported kind of Wan transformer, {what}"):
        load_engine(path, device="cpu")


def test_the_vae_of_the_smaller_model_is_named(files: dict[str, Path], tmp_path: Path) -> None:
    tensors = {**wan_files.vae_tensors(), "decoder.conv1.weight": torch.zeros(16, 48, 3, 3, 3)}
    path = save(tmp_path / "vae.safetensors", tensors)
    assert "is the VAE of the 5B-parameter Wan 2.2 (not supported)" in refused(**{**files, "vae": path})


def test_text_of_another_width_is_named(files: dict[str, Path], tmp_path: Path) -> None:
    tensors = wan_files.transformer_tensors()
    tensors["text_embedding.0.weight"] = torch.zeros(wan_files.WIDTH, 64)
    path = save(tmp_path / "other.safetensors", tensors)
    assert "produces 32 features, but the transformer" in refused(**{**files, "checkpoint": path})


def test_a_layer_too_few_is_named(files: dict[str, Path], tmp_path: Path) -> None:
    tensors = wan_files.transformer_tensors()
    del tensors["blocks.1.cross_attn.k.weight"]
    path = save(tmp_path / "part.safetensors", tensors)
    assert "lacks tensors such as blocks.1.attn2.to_k.weight" in refused(**{**files, "checkpoint": path})
    shutil.copy(files["vae"], tmp_path / "vae.safetensors")
    tensors = wan_files.vae_tensors()
    del tensors["decoder.conv1.weight"]
    save(tmp_path / "vae.safetensors", tensors)
    assert "give a VAE of Wan" in refused(**{**files, "vae": tmp_path / "vae.safetensors"})


# --- files cut short


def test_a_network_with_fewer_blocks_than_were_published_is_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """40 blocks with 14B parameters, 30 with 1.3B, 24 of UMT5-XXL, by their width."""
    for width, size, blocks in ((1536, "1.3B", 30), (5120, "14B", 40)):
        for held, option in ((blocks, "--checkpoint"), (blocks - 1, "")):
            monkeypatch.setattr(wan_files, "LAYERS", held)
            found = recognize(wan_files.transformer_shapes(COMFY, width=width))
            cut = "" if option else f", cut down to {held} of {blocks} blocks"
            assert found.what == f"a text-to-video transformer of Wan 2.1 or 2.2 with {size} parameters{cut}"
            assert found.option == option
    monkeypatch.setattr(wan_files, "TEXT", 4096)
    for held, option in ((24, "--text-encoder"), (12, "")):
        monkeypatch.setattr(wan_files, "LAYERS", held)
        found = recognize(wan_files.text_shapes())
        assert found.option == option
        assert ("cut down to 12 of 24 blocks" in found.what) == (not option)


def test_a_file_that_is_cut_short_is_refused(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(family, "_TRANSFORMER_BLOCKS", {wan_files.WIDTH: 3})
    with pytest.raises(ModelError, match=r"safetensors is a text-to-video transformer .*cut down to 2 of 3 blocks"):
        load_engine(ModelSpec(**files), device="cpu")
    monkeypatch.setattr(family, "_TRANSFORMER_BLOCKS", {})
    monkeypatch.setattr(family, "_TEXT_BLOCKS", {wan_files.TEXT: 4})
    with pytest.raises(ModelError, match=r"text_encoder.safetensors is a UMT5 .*cut down to 2 of 4 blocks"):
        load_engine(ModelSpec(**files), device="cpu")
