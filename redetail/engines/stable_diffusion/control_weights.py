"""ControlNets (Zhang et al. 2023, arXiv:2302.05543) as they are published: single files of either layout, and folders.

A ControlNet is the first half of the UNet that it was made for, a small network that reads the hint, and one
convolution for each of its outputs. Widths and depths follow from the shapes of its tensors; the number of attention
heads does not, and is that of the UNet.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from redetail.engines.config import Config
from redetail.engines.device import Placement
from redetail.engines.files import open_as
from redetail.engines.folder import load_network
from redetail.engines.libraries import quiet
from redetail.engines.stable_diffusion.conversion import SIZES_WIDTH, unet_names
from redetail.engines.stable_diffusion.folder import open_component
from redetail.engines.state_dict import StateDict, fill, skeleton
from redetail.engines.weightfile import WeightFile
from redetail.errors import ModelError
from redetail.optional import require

Shapes = Mapping[str, tuple[int, ...]]

_PREFIX = "control_model."
_UNSUPPORTED = {
    "control-lora": "a Control-LoRA, which contains only the difference from a UNet",
    "sparsectrl": "a SparseCtrl encoder, which has its own motion layers",
}
_WANTED = "a ControlNet for this checkpoint (a .safetensors, .pth or .ckpt file, or a folder in the diffusers layout)"
# The first and the last convolution of the hint network in the original numbering; activations lie in between.
_HINT_ENDS = {"input_hint_block.0": "conv_in", "input_hint_block.14": "conv_out"}


def load_controlnet(path: Path, placement: Placement, unet: Config) -> nn.Module:
    """A diffusers ControlNetModel that fits a UNet of this config, on its device.

    ``path``: a single file in the original layout (with or without "control_model.") or in that of diffusers, or a
    folder with config.json. Raises :class:`~redetail.errors.ModelError` for a file that is not a ControlNet, is of a
    kind that is not supported, or was made for another base model.
    """
    with quiet():
        if os.path.isdir(path):
            network = load_network(open_component(path, "controlnet"), placement.dtype)
            _check_fit(path, network.config, unet)
            ready: nn.Module = network.to(placement.device).eval().requires_grad_(False)
            return ready
        state = _opened(path, unet)
        _check_fit(path, state.config, unet)
        return fill(skeleton(lambda: _built(state.config)), state, placement)


def _built(config: Config) -> nn.Module:
    network: nn.Module = require("diffusers").ControlNetModel.from_config(dict(config))
    return network


def _opened(path: Path, unet: Config) -> StateDict:
    """The tensors of a single file in diffusers' names, and the config that follows from their shapes."""
    file, facts = open_as(path, ("controlnet",), _WANTED)
    if facts.details["layout"] in _UNSUPPORTED or "difference" in file.tensors:
        what = _UNSUPPORTED.get(facts.details["layout"], "a ControlNet stored as the difference from a UNet")
        raise ModelError(f"{path} is {what}; such files are not supported, so give {_WANTED} instead.")
    try:
        renamed = control_names({name: facts.shape for name, facts in file.tensors.items()})
        return _state_dict(file, renamed, unet)
    except (KeyError, StopIteration, IndexError) as error:
        raise ModelError(f"The ControlNet {path} lacks some of its blocks; copy or download it again.") from error


def _state_dict(file: WeightFile, renamed: Mapping[str, str], unet: Config) -> StateDict:
    config = control_config({new: file.shape(name) for name, new in renamed.items()}, unet)
    # Its authors' "shuffle" ControlNet averages its outputs over the picture; only its configuration says so.
    config["global_pool_conditions"] = "shuffle" in file.path.stem.lower()
    tensors = {renamed[name]: tensor for name, tensor in file.read(list(renamed)).items()}
    return StateDict(config, tensors, f"The ControlNet {file.path}")


def control_names(shapes: Shapes) -> dict[str, str]:
    """Diffusers' name for each name in a file; names that do not belong to a ControlNet are left out."""
    if "controlnet_cond_embedding.conv_in.weight" in shapes:
        return {name: name for name in shapes}
    prefix = _PREFIX if f"{_PREFIX}input_hint_block.0.weight" in shapes else ""
    own = {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)}
    renamed = unet_names(own) | {name: new for name in own if (new := _own_name(name))}
    return {prefix + name: new for name, new in renamed.items()}


def _own_name(name: str) -> str:
    """The name of what a ControlNet has in addition to its half of a UNet; "" for anything else."""
    stem, _, last = name.rpartition(".")
    if stem in _HINT_ENDS:
        return f"controlnet_cond_embedding.{_HINT_ENDS[stem]}.{last}"
    if match := re.fullmatch(r"input_hint_block\.(\d+)", stem):
        return f"controlnet_cond_embedding.blocks.{int(match[1]) // 2 - 1}.{last}"
    if match := re.fullmatch(r"zero_convs\.(\d+)\.0", stem):
        return f"controlnet_down_blocks.{match[1]}.{last}"
    return f"controlnet_mid_block.{last}" if stem == "middle_block_out.0" else ""


def control_config(shapes: Shapes, unet: Config) -> dict[str, Any]:
    """The config of the ControlNetModel with these shapes, in diffusers' names, for a UNet with the config ``unet``."""
    widths = [
        shapes[f"down_blocks.{level}.resnets.0.conv1.weight"][0] for level in range(_count(shapes, "down_blocks."))
    ]
    attended = [f"down_blocks.{level}.attentions.0.norm.weight" in shapes for level in range(len(widths))]
    hint = ["conv_in", *(f"blocks.{number}" for number in range(1, _count(shapes, f"{_HINT}blocks."), 2))]
    added = shapes.get("add_embedding.linear_1.weight")
    return {
        "in_channels": shapes["conv_in.weight"][1],
        "conditioning_channels": shapes[f"{_HINT}conv_in.weight"][1],
        "conditioning_embedding_out_channels": tuple(shapes[f"{_HINT}{name}.weight"][0] for name in hint),
        "block_out_channels": tuple(widths),
        "down_block_types": tuple("CrossAttnDownBlock2D" if on else "DownBlock2D" for on in attended),
        "layers_per_block": _count(shapes, "down_blocks.0.resnets."),
        "transformer_layers_per_block": tuple(
            _count(shapes, f"down_blocks.{level}.attentions.0.transformer_blocks.") or 1 for level in range(len(widths))
        ),
        "cross_attention_dim": next(shape[1] for name, shape in shapes.items() if name.endswith("attn2.to_k.weight")),
        "use_linear_projection": any(len(s) == 2 for name, s in shapes.items() if name.endswith(".proj_in.weight")),
        "attention_head_dim": unet.get("num_attention_heads") or unet.get("attention_head_dim") or 8,
        "norm_num_groups": unet.get("norm_num_groups", 32),
        "addition_embed_type": "text_time" if added else None,
        "addition_time_embed_dim": SIZES_WIDTH if added else None,
        "projection_class_embeddings_input_dim": added[1] if added else None,
    }


_HINT = "controlnet_cond_embedding."


def _count(shapes: Shapes, prefix: str) -> int:
    """How many numbered modules lie below a name."""
    return len({name.removeprefix(prefix).partition(".")[0] for name in shapes if name.startswith(prefix)})


def _check_fit(path: Path, config: Config, unet: Config) -> None:
    """Refuse a ControlNet whose outputs do not fit the UNet."""
    own, wanted = ((tuple(c["block_out_channels"]), c["cross_attention_dim"]) for c in (config, unet))
    if own != wanted:
        raise ModelError(
            f"The ControlNet {path} was made for a UNet with widths {own[0]} that reads {own[1]} text features, but "
            f"the UNet of this checkpoint has widths {wanted[0]} and reads {wanted[1]}; use a ControlNet for the same "
            "base model."
        )
    if config.get("conditioning_channels", 3) != 3:
        raise ModelError(
            f"The ControlNet {path} reads hints with {config['conditioning_channels']} channels, but pictures have 3; "
            "use another ControlNet."
        )
