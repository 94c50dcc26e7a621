"""A folder of Wan in the diffusers layout, checked part by part before anything heavy is imported.

::

    transformer/     WanTransformer3DModel, of Wan 2.2 the expert for high noise
    transformer_2/   WanTransformer3DModel, Wan 2.2's expert for low noise
    vae/             AutoencoderKLWan
    text_encoder/    UMT5EncoderModel
    tokenizer/       tokenizer.json
    scheduler/       scheduler_config.json: the shift
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from redetail.documents import text, truth
from redetail.engines.architectures.wan import transformer_folder
from redetail.engines.config import Schema, between, check_keys, either, read_config, several, whole
from redetail.engines.folder import LARGEST_LIST, ComponentFolder, open_network
from redetail.errors import ModelError
from redetail.geometry.latent_grid import WAN, LatentGrid

_COUNT, _WIDTH = whole(1, 256), whole(1, 2**17)
_TRANSFORMER: Schema = {
    "patch_size": several(whole(1, 16), 3, 3),
    "num_attention_heads": _COUNT,
    "attention_head_dim": _WIDTH,
    "in_channels": _WIDTH,
    "out_channels": _WIDTH,
    "text_dim": _WIDTH,
    "freq_dim": _WIDTH,
    "ffn_dim": _WIDTH,
    "num_layers": _COUNT,
    "image_dim": either(_WIDTH),
    "added_kv_proj_dim": either(_WIDTH),
    "rope_max_seq_len": whole(1, 2**17),
    "pos_embed_seq_len": either(_WIDTH),
}
_VAE: Schema = {
    "base_dim": _WIDTH,
    "decoder_base_dim": either(_WIDTH),
    "z_dim": _WIDTH,
    "dim_mult": several(whole(1, 64), 8, 1),
    "num_res_blocks": _COUNT,
    "temperal_downsample": several(truth, 8),
    "latents_mean": several(between(-1e6, 1e6), 2**10),
    "latents_std": several(between(1e-6, 1e6), 2**10),
    "in_channels": _WIDTH,
    "out_channels": _WIDTH,
    "patch_size": either(whole(1, 16)),
    "scale_factor_spatial": whole(1, 64),
    "scale_factor_temporal": whole(1, 64),
}
_TEXT: Schema = {
    "vocab_size": whole(1, 10_000_000),
    "d_model": _WIDTH,
    "d_kv": _WIDTH,
    "d_ff": _WIDTH,
    "num_layers": _COUNT,
    "num_heads": _COUNT,
}
_SHIFT = between(1e-3, 100)
_SCHEDULER: Schema = {"flow_shift": either(_SHIFT), "shift": either(_SHIFT), "_class_name": text}
_USUAL_SHIFT = 8.0  # of Wan 2.1 and 2.2 in the recordings of tests/golden/flow


@dataclass(frozen=True, slots=True)
class WanFolder:
    """The parts of a model; ``shift``: of its noise schedule; ``patch``: cells of a latent along a side of what the
    transformer reads as one token."""

    path: Path
    transformer: ComponentFolder
    vae: ComponentFolder
    text: ComponentFolder
    tokenizer: Path
    shift: float
    patch: int
    grid: LatentGrid = WAN


def open_wan_folder(path: Path) -> WanFolder:
    """Find and check the parts of the model in ``path``.

    Raises :class:`~redetail.errors.ModelError` that names what is missing, damaged, or of a kind that is not supported.
    """
    used = transformer_folder(path)
    missing = ["transformer"] if used is None else []
    missing += [name for name in ("vae/config.json", "text_encoder/config.json") if not (path / name).is_file()]
    missing += [] if (path / "tokenizer" / "tokenizer.json").is_file() else ["tokenizer/tokenizer.json"]
    if used is None or missing:
        raise ModelError(
            f"The model folder {path} lacks {', '.join(missing)}; a model of Wan needs transformer, vae, text_encoder "
            "and tokenizer."
        )
    read_config(path / "tokenizer" / "tokenizer.json", LARGEST_LIST)
    folder = WanFolder(
        path,
        open_network(used, ("WanTransformer3DModel",), _TRANSFORMER),
        open_network(path / "vae", ("AutoencoderKLWan",), _VAE),
        open_network(path / "text_encoder", ("UMT5EncoderModel",), _TEXT),
        path / "tokenizer",
        _shift(path / "scheduler" / "scheduler_config.json"),
        _patch(used),
    )
    _check_fit(folder)
    return folder


def _shift(path: Path) -> float:
    """The shift that the model was published with: schedulers of several steps call it ``flow_shift``."""
    if not path.is_file():
        return _USUAL_SHIFT
    config = read_config(path)
    check_keys(config, _SCHEDULER, f"{path}")
    return float(config.get("flow_shift") or config.get("shift") or _USUAL_SHIFT)


def _patch(transformer: Path) -> int:
    """Cells along a side of a token. A token that spans several latents, or is not square, is not supported."""
    size = read_config(transformer / "config.json").get("patch_size", [1, 2, 2])
    if not isinstance(size, list) or len(size) != 3 or size[0] != 1 or size[1] != size[2]:
        raise ModelError(f"patch_size in {transformer / 'config.json'} is {size}; 1 and two equal numbers can be used.")
    return int(size[1])


def _check_fit(folder: WanFolder) -> None:
    """Refuse kinds of Wan that are not supported, and parts that do not belong together."""
    transformer, vae, path = folder.transformer.config, folder.vae.config, folder.path
    if vae.get("patch_size") is not None or vae.get("is_residual"):
        raise ModelError(f"The vae of {path} is that of Wan 2.2 with 5B parameters, which is not supported; use 14B.")
    channels, taken = vae.get("z_dim", 16), transformer.get("in_channels", 16)
    if transformer.get("image_dim") is not None or taken > channels:
        raise ModelError(
            f"The transformer of {path} takes {taken} channels or an image beside the text; of Wan the text-to-video "
            f"models can be used, which take the {channels} channels of the vae alone."
        )
    if taken < channels:
        raise ModelError(f"The transformer of {path} takes {taken} channels, but its vae makes {channels}.")
    width, read = folder.text.config.get("d_model", 512), transformer.get("text_dim", 4096)
    if width != read:
        raise ModelError(
            f"The text_encoder of {path} gives {width} features, but its transformer takes {read}; they belong to "
            "different models."
        )
    downsample = vae.get("temperal_downsample", [False, True, True])
    if 2 ** len(downsample) != folder.grid.spatial or 2 ** sum(downsample) != folder.grid.temporal:
        raise ModelError(
            f"The vae of {path} makes one latent of {2 ** sum(downsample)} frames and {2 ** len(downsample)} pixels a "
            f"side; Wan's makes it of {folder.grid.temporal} and {folder.grid.spatial}."
        )
    for name in ("latents_mean", "latents_std"):
        if name in vae and len(vae[name]) != channels:
            raise ModelError(f"{name} of the vae of {path} has {len(vae[name])} numbers; it must have {channels}.")
