"""``load_spec_parts``: the networks of an engine from the files that its :class:`ModelSpec` names.

A checkpoint is a single file in the original layout or a folder in the diffusers layout; a motion module and a VAE of
their own take the place of those in it. Nothing is fetched.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from torch import nn

from redetail.engines.device import Placement
from redetail.engines.diffusers import original
from redetail.engines.diffusers.folder import Config, ModelFolder, open_folder, open_part
from redetail.engines.diffusers.motion import (
    BETAS,
    add_motion_loras,
    motion_config,
    motion_tensors,
    open_motion,
)
from redetail.engines.diffusers.network import INPAINTING_CHANNELS
from redetail.engines.diffusers.parts import Parts, load_network, load_tokenizer, quiet, require, vae_dtype
from redetail.engines.diffusers.weights import Loose, fill, skeleton
from redetail.engines.files import FileFacts, open_as
from redetail.engines.kinds import VAE_PREFIX
from redetail.engines.spec import ModelSpec
from redetail.engines.weightfile import WeightFile
from redetail.errors import ModelError

_TEXT_PREFIX = "cond_stage_model.transformer."
_CHECKPOINTS = ("sd15", "sd15-inpainting", "sd2", "sdxl", "sdxl-refiner")
_WANTED = "a Stable Diffusion 1.x checkpoint (a .safetensors or .ckpt file, or a folder in the diffusers layout)"
_PREDICTIONS = {"eps": "epsilon", "v": "v_prediction"}


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    """A checkpoint that is open: a single file with what it is, or a folder."""

    path: Path
    file: WeightFile | None = None
    facts: FileFacts | None = None
    folder: ModelFolder | None = None


def load_spec_parts(spec: ModelSpec, placement: Placement) -> Parts:
    """Load UNet with motion layers, VAE, text encoder and tokenizer of ``spec``, on their device.

    Raises :class:`~redetail.errors.ModelError` that says what a file is and what was wanted, and
    :class:`~redetail.errors.DependencyError` without diffusers or transformers.
    """
    if spec.checkpoint is None:
        raise ModelError(f"A motion module, LoRA or VAE acts on a checkpoint; name one with them: {_WANTED}.")
    checkpoint = _open(Path(spec.checkpoint).expanduser(), spec)
    with quiet():
        unet, scheduler = _unet(checkpoint, spec, placement)
        return Parts(
            unet=unet,
            vae=_vae(checkpoint, spec.vae, placement),
            text_encoder=_text_encoder(checkpoint, placement),
            tokenizer=_tokenizer(checkpoint),
            scheduler=scheduler,
        )


def _open(path: Path, spec: ModelSpec) -> _Checkpoint:
    """Open a checkpoint and refuse what is none, before anything is loaded."""
    if path.is_dir():
        needed = tuple(name for name, own in (("motion_adapter", spec.motion_module), ("vae", spec.vae)) if own is None)
        return _Checkpoint(path, folder=open_folder(path, needed))
    file, facts = open_as(path, _CHECKPOINTS, _WANTED)
    if facts.base != "sd15" or facts.details["layout"] != "original":
        raise ModelError(f"{path} is {_described(facts)}; what is wanted here is {_WANTED}.")
    if facts.details["in_channels"] not in (4, INPAINTING_CHANNELS):
        channels = facts.details["in_channels"]
        raise ModelError(f"{path} is {facts.what} that takes {channels} channels instead of 4 or 9; give {_WANTED}.")
    parts = facts.details["parts"]
    if "text_encoder" not in parts or ("vae" not in parts and spec.vae is None):
        missing = "text encoder" if "text_encoder" not in parts else "VAE (name one with --vae)"
        raise ModelError(f"{path} is {facts.what} without a {missing}; what is wanted is a whole one.")
    if spec.motion_module is None:
        raise ModelError(
            f"{path} is {facts.what}, which knows single frames only; name a motion module for it (--motion-module)."
        )
    return _Checkpoint(path, file, facts)


def _described(facts: FileFacts) -> str:
    alone = facts.details["layout"] == "diffusers"
    return f"the UNet alone of {facts.what}, in the diffusers layout" if alone else facts.what


# --- the UNet and its motion layers


def _unet(checkpoint: _Checkpoint, spec: ModelSpec, placement: Placement) -> tuple[nn.Module, Config]:
    """The joined UNet, and what its noise is, as a scheduler_config.json says it."""
    unet = _unet_tensors(checkpoint, placement)
    scheduler = _scheduler(checkpoint)
    motion = _motion_tensors(checkpoint, spec.motion_module, placement)
    if motion is None:
        weights = dict(unet.tensors)
        add_motion_loras(weights, spec.motion_loras)
        whole = replace(unet, tensors=weights)
        return fill(skeleton(lambda: _from_config("UNetMotionModel", whole.config)), whole, placement), scheduler
    weights = dict(motion.tensors)
    add_motion_loras(weights, spec.motion_loras)
    return join(unet, replace(motion, tensors=weights), placement), scheduler


def join(unet: Loose, motion: Loose, placement: Placement) -> nn.Module:
    """A UNetMotionModel of a 2-D UNet and the motion layers of an adapter.

    Raises :class:`~redetail.errors.ModelError` where one was made for a UNet of another shape.
    """
    wanted, given = unet.config["block_out_channels"], motion.config["block_out_channels"]
    if tuple(wanted) != tuple(given):
        raise ModelError(
            f"{motion.origin} was made for a unet of widths {tuple(given)}, not {tuple(wanted)} as {unet.origin} has; "
            "use a motion module of the same base model."
        )
    try:
        joined = skeleton(lambda: _joined(unet.config, motion.config))
    except (ValueError, RuntimeError, TypeError) as error:
        raise ModelError(f"{motion.origin} does not fit {unet.origin}: {str(error).splitlines()[0]}") from error
    both = Loose({}, {**unet.tensors, **motion.tensors}, f"{unet.origin} with {motion.origin}")
    return fill(joined, both, placement)


def _joined(unet: Config, motion: Config) -> nn.Module:
    flat, adapter = _from_config("UNet2DConditionModel", unet), _from_config("MotionAdapter", motion)
    network: nn.Module = require("diffusers").UNetMotionModel.from_unet2d(flat, adapter, load_weights=False)
    return network


def _unet_tensors(checkpoint: _Checkpoint, placement: Placement) -> Loose:
    if checkpoint.folder is not None:
        network = load_network(checkpoint.folder.unet, placement.dtype)
        return Loose(network.config, network.state_dict(), f"The unet of {checkpoint.path}")
    assert checkpoint.file is not None
    assert checkpoint.facts is not None
    names = _below(checkpoint.file, checkpoint.facts.details["prefix"])
    shapes = {short: checkpoint.file.shape(name) for short, name in names.items()}
    try:
        config, renamed = original.unet_config(shapes), original.unet_names(shapes)
    except (KeyError, StopIteration, IndexError) as error:
        raise ModelError(f"The UNet of {checkpoint.path} lacks blocks; copy or download it again.") from error
    return _loose(checkpoint.file, {names[short]: new for short, new in renamed.items()}, config, "UNet")


def _motion_tensors(checkpoint: _Checkpoint, path: Path | None, placement: Placement) -> Loose | None:
    """The motion layers: those of a file, of a folder, or of the checkpoint's own; None where the UNet has them."""
    folder = checkpoint.folder
    if path is None or path.is_dir():
        part = folder.motion_adapter if folder is not None and path is None else None
        if path is not None:
            part = open_part(path, "motion_adapter")
        if part is None:
            return None
        network = load_network(part, placement.dtype)
        return Loose(network.config, network.state_dict(), f"The motion_adapter of {part.path.parent}")
    if folder is not None and folder.unet.kind == "UNetMotionModel":
        raise ModelError(f"The unet of {folder.path} has motion layers inside; leave {path} out, or give a plain unet.")
    file, facts = open_motion(path)
    tensors = motion_tensors(file, facts)
    return Loose(motion_config(facts, tensors), tensors, f"The motion module {path}")


def _scheduler(checkpoint: _Checkpoint) -> Config:
    if checkpoint.folder is not None:
        return checkpoint.folder.scheduler
    assert checkpoint.facts is not None
    assert checkpoint.file is not None
    scheduler = {**BETAS, "prediction_type": _PREDICTIONS[checkpoint.facts.prediction]}
    # Fine-tunes to v-prediction mark with a tensor of this name that their noise ends without signal.
    return scheduler | ({"rescale_betas_zero_snr": True} if "ztsnr" in checkpoint.file.tensors else {})


# --- the VAE and the text


def _vae(checkpoint: _Checkpoint, path: Path | None, placement: Placement) -> nn.Module:
    if path is not None and not path.is_dir():
        file, facts = open_as(path, ("vae",), "a VAE of Stable Diffusion")
        if facts.details["latent_channels"] != 4:
            channels = facts.details["latent_channels"]
            raise ModelError(f"The VAE {path} makes {channels} channels; what is wanted is one of 4 channels.")
        if facts.details["layout"] == "tiny":
            return _tiny_vae(file, placement)
        return _filled_vae(file, facts.details["prefix"], placement)
    folder = checkpoint.folder
    if path is not None or folder is not None:
        part = open_part(path, "vae") if path is not None else folder.vae if folder is not None else None
        assert part is not None
        return _ready(load_network(part, vae_dtype(part.config, part.kind, placement)), placement)
    assert checkpoint.file is not None
    return _filled_vae(checkpoint.file, VAE_PREFIX, placement)


def _filled_vae(file: WeightFile, prefix: str, placement: Placement) -> nn.Module:
    names = _below(file, prefix)
    renamed = original.vae_names({short: file.shape(name) for short, name in names.items()})
    shapes = {new: file.shape(names[short]) for short, new in renamed.items()}
    loose = _loose(file, {names[short]: new for short, new in renamed.items()}, original.vae_config(shapes), "VAE")
    dtype = vae_dtype(loose.config, "AutoencoderKL", placement)
    return fill(skeleton(lambda: _from_config("AutoencoderKL", loose.config)), loose, replace(placement, dtype=dtype))


def _tiny_vae(file: WeightFile, placement: Placement) -> nn.Module:
    """TAESD, which its author publishes in one size only."""
    loose = Loose({}, file.read(), f"The tiny VAE {file.path}")
    return fill(skeleton(lambda: _from_config("AutoencoderTiny", {})), loose, placement)


def _text_encoder(checkpoint: _Checkpoint, placement: Placement) -> nn.Module:
    if checkpoint.folder is not None:
        return _ready(load_network(checkpoint.folder.text_encoder, placement.dtype), placement)
    assert checkpoint.file is not None
    names = _below(checkpoint.file, _TEXT_PREFIX)
    renamed = original.clip_names(dict.fromkeys(names, ()))
    shapes = {new: checkpoint.file.shape(names[short]) for short, new in renamed.items()}
    try:
        config = original.clip_config(shapes)
    except KeyError as error:
        raise ModelError(f"The text encoder of {checkpoint.path} lacks {error}; download it again.") from error
    transformers = require("transformers")
    network = skeleton(lambda: transformers.CLIPTextModel(transformers.CLIPTextConfig(**config)))
    # transformers 4 names every tensor below "text_model", transformers 5 does not.
    lead = "text_model." if next(iter(network.state_dict())).startswith("text_model.") else ""
    tensors = {names[short]: lead + new for short, new in renamed.items()}
    return fill(network, _loose(checkpoint.file, tensors, config, "text encoder"), placement)


def _tokenizer(checkpoint: _Checkpoint) -> Any:
    if checkpoint.folder is not None:
        folder = checkpoint.folder
        return load_tokenizer(folder.tokenizer, folder.text_encoder.config.get("vocab_size", 49408))
    assert checkpoint.file is not None
    known = checkpoint.file.shape(f"{_TEXT_PREFIX}text_model.embeddings.token_embedding.weight")
    with as_file(files("redetail.bundled") / "clip_tokenizer") as path:
        return load_tokenizer(path, known[0] if known else 49408)


# --- shared


def _below(file: WeightFile, prefix: str) -> dict[str, str]:
    """Whole names by what follows a prefix."""
    return {name.removeprefix(prefix): name for name in file.tensors if name.startswith(prefix)}


def _loose(file: WeightFile, renamed: dict[str, str], config: Config, part: str) -> Loose:
    read = file.read(list(renamed))
    return Loose(config, {renamed[name]: tensor for name, tensor in read.items()}, f"The {part} of {file.path}")


def _from_config(kind: str, config: Config) -> nn.Module:
    network: nn.Module = getattr(require("diffusers"), kind).from_config(dict(config))
    return network


def _ready(network: Any, placement: Placement) -> nn.Module:
    ready: nn.Module = network.to(placement.device).eval().requires_grad_(False)
    return ready
