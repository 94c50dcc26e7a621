"""A whole Stable Diffusion + AnimateDiff model of thin widths with seeded random weights, written as users have it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.engines.thin_wan import write_wan_folder

WIDTHS = (32, 64)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Thin networks are quicker on one thread: many small operations wait for one another on several."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder in the diffusers layout, made by the libraries that publish such folders."""
    return write_model_folder(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def wan_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A thin Wan model folder in the diffusers layout."""
    return write_wan_folder(tmp_path_factory.mktemp("models") / "thin-wan")


def write_model_folder(folder: Path) -> Path:
    diffusers = pytest.importorskip("diffusers")
    transformers = pytest.importorskip("transformers")
    with torch.random.fork_rng():
        torch.manual_seed(7)
        unet = diffusers.UNet2DConditionModel(
            block_out_channels=WIDTHS,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            layers_per_block=1,
            cross_attention_dim=32,
            attention_head_dim=4,
            norm_num_groups=8,
        )
        motion = diffusers.MotionAdapter(
            block_out_channels=WIDTHS,
            motion_layers_per_block=1,
            motion_num_attention_heads=2,
            motion_norm_num_groups=8,
            motion_max_seq_length=24,
            use_motion_mid_block=False,
        )
        _stir(motion)
        vae = diffusers.AutoencoderKL(
            block_out_channels=(8, 8, 8, 8),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=1,
            norm_num_groups=4,
            latent_channels=4,
        )
        text = transformers.CLIPTextModel(
            transformers.CLIPTextConfig(
                vocab_size=514,
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                max_position_embeddings=77,
                bos_token_id=512,
                eos_token_id=513,
                pad_token_id=513,
            )
        )
    unet.save_pretrained(folder / "unet")
    motion.save_pretrained(folder / "motion_adapter")
    vae.save_pretrained(folder / "vae")
    text.save_pretrained(folder / "text_encoder")
    write_tokenizer(folder / "tokenizer")
    diffusers.DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear").save_pretrained(
        folder / "scheduler"
    )
    return folder


def write_tokenizer(folder: Path) -> None:
    """Byte-level letters without merges: every character is a token."""
    folder.mkdir(parents=True)
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(code) for code in printable] + [chr(256 + index) for index in range(256 - len(printable))]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "pad_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def _stir(motion: torch.nn.Module) -> None:
    """New motion layers start as the identity; a trained one is not."""
    with torch.no_grad():
        for name, weight in motion.named_parameters():
            if "proj_out" in name:
                weight.normal_(std=0.1)


@pytest.fixture(scope="session")
def restoration_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A restoration model of thin widths with seeded random weights."""
    return write_restoration_folder(tmp_path_factory.mktemp("models") / "restoration")


def write_restoration_folder(folder: Path) -> Path:
    from redetail.engines.restoration import ModelCard, NetworkConfig, RestorationUNet, save

    config = NetworkConfig(channels=(16, 24), down_blocks=(1, 1), up_blocks=(1, 1), motion_channels=(8, 8))
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(7)
        network = RestorationUNet(config)
        for weight in network.parameters():
            weight.normal_(std=0.05)
    save(folder, network, ModelCard(context_length=8, defaults={"steps": 2, "denoise": 1.0, "cfg": 1.0}))
    return folder
