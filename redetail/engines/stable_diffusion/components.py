"""``load_components``: the networks of an engine from the files that its :class:`ModelSpec` names.

A separate motion module or VAE replaces that of the checkpoint. Nothing is fetched.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from redetail.engines.architectures.stable_diffusion import Conventions
from redetail.engines.config import Config
from redetail.engines.device import Placement
from redetail.engines.folder import load_network
from redetail.engines.libraries import quiet
from redetail.engines.spec import ModelSpec
from redetail.engines.stable_diffusion.checkpoint import Checkpoint, open_checkpoint
from redetail.engines.stable_diffusion.clip import TextEncoder
from redetail.engines.stable_diffusion.folder import check_text, open_component
from redetail.engines.stable_diffusion.motion import add_motion_loras, motion_config, motion_tensors, open_motion
from redetail.engines.stable_diffusion.vae import load_vae
from redetail.engines.state_dict import StateDict, fill, from_config, skeleton
from redetail.errors import ModelError
from redetail.optional import require


@dataclass(frozen=True, slots=True)
class Components:
    """The loaded networks of a model, in evaluation mode on their device.

    ``unet`` is a UNetMotionModel; ``vae`` an AutoencoderKL or AutoencoderTiny in float32 where its config asks for
    it; ``texts``: the text encoders, each with its tokenizer; ``scheduler``: the noise that the UNet was trained on, in
    the terms of a scheduler_config.json.
    """

    unet: Any
    vae: Any
    texts: tuple[TextEncoder, ...]
    family: Conventions
    scheduler: Config = field(default_factory=dict)

    @property
    def motion_limit(self) -> int:
        """The most frames for which the motion layers have positions."""
        return int(self.unet.config.motion_max_seq_length)


def load_components(spec: ModelSpec, placement: Placement) -> Components:
    """Load UNet with motion layers, VAE, text encoders and tokenizers of ``spec``, on their device.

    Raises :class:`~redetail.errors.ModelError`, which says what a file is and what was wanted, and
    :class:`~redetail.errors.DependencyError` without diffusers or transformers.
    """
    checkpoint = open_checkpoint(spec)
    family = checkpoint.family
    with quiet():
        unet: Any = _moving_unet(checkpoint, spec, placement)
        vae = checkpoint.vae(placement) if spec.vae is None else load_vae(spec.vae, placement, family)
        texts = checkpoint.texts(placement)
    check_text(unet.config, [text.encoder.config.to_dict() for text in texts], checkpoint.path)
    return Components(unet, vae, texts, family, checkpoint.scheduler)


def _moving_unet(checkpoint: Checkpoint, spec: ModelSpec, placement: Placement) -> nn.Module:
    """The UNet with its motion layers, and motion LoRAs in them."""
    if not checkpoint.has_motion:
        motion = _motion(checkpoint, spec, placement)
        tensors = dict(motion.tensors)
        add_motion_loras(tensors, spec.motion_loras)
        return join(checkpoint.unet(placement), replace(motion, tensors=tensors), placement)
    if spec.motion_module is not None:
        raise ModelError(
            f"The UNet of {checkpoint.path} already contains motion layers; leave out {spec.motion_module}, or give a "
            "checkpoint without motion layers."
        )
    unet = checkpoint.unet(placement)
    tensors = dict(unet.tensors)
    add_motion_loras(tensors, spec.motion_loras)
    network = skeleton(lambda: from_config("UNetMotionModel", unet.config))
    return fill(network, replace(unet, tensors=tensors), placement)


def _motion(checkpoint: Checkpoint, spec: ModelSpec, placement: Placement) -> StateDict:
    """The motion layers: those of a separate file or folder, else of the checkpoint."""
    path = spec.motion_module
    if path is None:
        return checkpoint.motion(placement)
    if os.path.isdir(path):
        network = load_network(open_component(path, "motion_adapter"), placement.dtype)
        return StateDict(network.config, network.state_dict(), f"The motion module {path}")
    file, facts = open_motion(path, checkpoint.family)
    tensors = motion_tensors(file, facts)
    return StateDict(motion_config(facts, tensors), tensors, f"The motion module {path}")


def join(unet: StateDict, motion: StateDict, placement: Placement) -> nn.Module:
    """A UNetMotionModel made from a 2-D UNet and the motion layers of an adapter.

    Raises :class:`~redetail.errors.ModelError` if one was made for a UNet of another shape.
    """
    wanted, given = unet.config["block_out_channels"], motion.config["block_out_channels"]
    if tuple(wanted) != tuple(given):
        raise ModelError(
            f"{motion.origin} was made for a UNet with widths {tuple(given)}, but {_mid_sentence(unet.origin)} has the "
            f"widths {tuple(wanted)}; use a motion module for the same base model."
        )
    try:
        joined = skeleton(lambda: _joined(unet.config, motion.config))
    except (ValueError, RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"{motion.origin} does not fit {_mid_sentence(unet.origin)}: {reason}") from error
    both = StateDict({}, {**unet.tensors, **motion.tensors}, f"{unet.origin} with {motion.origin}")
    return fill(joined, both, placement)


def _mid_sentence(origin: str) -> str:
    return f"the {origin.removeprefix('The ')}"


def _joined(unet: Config, motion: Config) -> nn.Module:
    flat, adapter = from_config("UNet2DConditionModel", unet), from_config("MotionAdapter", motion)
    network: nn.Module = require("diffusers").UNetMotionModel.from_unet2d(flat, adapter, load_weights=False)
    return network
