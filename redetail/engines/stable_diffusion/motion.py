"""Motion modules as they are published: AnimateDiff's own names, or those of diffusers' MotionAdapter.

The original layout numbers the two temporal attentions of a block and stores positions in each; diffusers stores one
table of positions for both. Every module that is supported here has eight heads and norms over 32 groups. Those of
Stable Diffusion XL have three levels of resolution instead of four.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from redetail.engines.architectures.stable_diffusion import Conventions
from redetail.engines.files import FileFacts, open_as
from redetail.engines.spec import WeightedFile
from redetail.engines.weightfile import WeightFile
from redetail.errors import ModelError

_HEADS = 8
_RENAMED = (
    (".temporal_transformer.", "."),
    (".attention_blocks.0.", ".attn1."),
    (".attention_blocks.1.", ".attn2."),
    (".norms.0.", ".norm1."),
    (".norms.1.", ".norm2."),
    (".ff_norm.", ".norm3."),
)
_POSITIONS = ".pos_embed.pe"
# One half of a pair, in the names of AnimateDiff, of diffusers before PEFT, and of PEFT.
_HALF = re.compile(
    r"^(?P<stem>.+?)(?P<attn>\.processor)?\.(?P<part>to_q|to_k|to_v|to_out(\.0)?)"
    r"(_lora\.(?P<old>down|up)|\.lora\.(?P<mid>down|up)|\.lora_(?P<new>A|B|down|up))\.weight$"
)


def module_name(name: str) -> str:
    """The name in a MotionAdapter of a tensor of the original layout; diffusers' own names stay as they are."""
    for old, new in _RENAMED:
        name = name.replace(old, new)
    return re.sub(r"\.attn[12]\.pos_encoder\.pe$", _POSITIONS, name)


def open_motion(path: Path, family: Conventions) -> tuple[WeightFile, FileFacts]:
    """A file that must hold a motion module for this family; raises ModelError, which says what it is."""
    wanted = family.motion
    file, facts = open_as(path, ("motion-module",), wanted)
    if facts.base != family.base or facts.details["layout"] not in ("original", "diffusers"):
        raise ModelError(f"{path} is {facts.what}; give {wanted} instead.")
    if facts.details["version"] == "PIA":
        raise ModelError(f"{path} is a PIA module, which takes extra input channels; give {wanted} instead.")
    return file, facts


def motion_config(facts: FileFacts, names: Iterable[str]) -> dict[str, Any]:
    """The config of the MotionAdapter with these (diffusers') names."""
    layers = {match[1] for name in names if (match := re.match(r"down_blocks\.0\.motion_modules\.(\d+)\.", name))}
    depth = max(int(match[1]) for name in names if (match := re.search(r"\.transformer_blocks\.(\d+)\.", name)))
    return {
        "block_out_channels": tuple(facts.details["widths"]),
        "motion_layers_per_block": len(layers),
        "motion_transformer_layers_per_block": depth + 1,
        "motion_transformer_layers_per_mid_block": depth + 1,
        "motion_num_attention_heads": _HEADS,
        "motion_norm_num_groups": 32,
        "motion_max_seq_length": facts.details["limit"],
        "use_motion_mid_block": facts.details["mid_block"],
    }


def motion_tensors(file: WeightFile, facts: FileFacts) -> dict[str, Tensor]:
    """The tensors of a motion module in diffusers' names; other tensors in a file from training are left out.

    Raises :class:`~redetail.errors.ModelError` if the two attentions of a block count frames differently.
    """
    read = file.read([name for name in file.tensors if "motion_modules." in name])
    tensors: dict[str, Tensor] = {}
    for name, tensor in read.items():
        new = module_name(name)
        if new.endswith(_POSITIONS) and new in tensors and not torch.equal(tensors[new], tensor):
            raise ModelError(
                f"The motion module {file.path} has two different position encodings in one block, which is not "
                "supported; use another motion module."
            )
        tensors[new] = tensor
    return tensors | _missing_positions(tensors, int(facts.details["limit"]))


def _missing_positions(tensors: Mapping[str, Tensor], length: int) -> dict[str, Tensor]:
    """The positions that AnimateLCM leaves out because they are the sinusoids of "Attention Is All You Need"."""
    made = {}
    for name, tensor in tensors.items():
        stem, found, _ = name.partition(".attn1.to_q.weight")
        if found and stem + _POSITIONS not in tensors:
            made[stem + _POSITIONS] = sinusoids(length, tensor.shape[1])
    return made


def sinusoids(length: int, width: int) -> Tensor:
    """(1, length, width) positions: sines and cosines by turns (Vaswani et al. 2017, arXiv:1706.03762)."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    angles = torch.arange(length)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], -1).reshape(1, length, width)


def add_motion_loras(weights: dict[str, Tensor], loras: Iterable[WeightedFile]) -> None:
    """Replace the projections that each file names by their sum with strength * up @ down (LoRA, arXiv:2106.09685).

    A strength of 0 changes no tensor. Raises :class:`~redetail.errors.ModelError` for a file that is not a motion LoRA,
    or belongs to another motion module.
    """
    for lora in loras:
        file, facts = open_as(lora.path, ("motion-lora",), "a motion LoRA")
        pairs = _pairs(file)
        for target, (down, up, alpha) in pairs.items() if lora.strength else ():
            weight = weights.get(target)
            if weight is None or weight.shape != (up.shape[0], down.shape[1]):
                raise ModelError(
                    f"{_misfit(facts)} {target.removesuffix('.weight')}; use a LoRA for this motion module."
                )
            change = up.float() @ down.float() * (lora.strength * alpha / down.shape[0])
            weights[target] = (weight.float() + change.to(weight.device)).to(weight.dtype)


def _misfit(facts: FileFacts) -> str:
    return (
        f"{facts.path} is {facts.what}; layers that the LoRA changes are missing from the motion module or have "
        "different widths there, for example"
    )


def _pairs(file: WeightFile) -> dict[str, tuple[Tensor, Tensor, float]]:
    """Down, up and alpha for each weight that is changed; alpha is the rank if the file names none."""
    halves: dict[str, dict[str, Tensor]] = {}
    alphas: dict[str, float] = {}
    for name, tensor in file.read().items():
        match = _HALF.match(name)
        if match is None:
            continue
        part = "to_out.0" if match["part"].startswith("to_out") else match["part"]
        stem = module_name(f"{match['stem'].removeprefix('unet.')}.").removesuffix(".")
        half = {"A": "down", "B": "up"}.get(match["new"], match["old"] or match["mid"] or match["new"])
        target = f"{stem}.{part}.weight"
        halves.setdefault(target, {})[half] = tensor
        alpha = f"{name.removesuffix('.weight').rsplit('.', 1)[0]}.alpha"
        if alpha in file.tensors:
            alphas[target] = float(file.read([alpha])[alpha])
    broken = next((target for target, pair in halves.items() if len(pair) != 2), None)
    if broken is not None or not halves:
        raise ModelError(
            f"The motion LoRA {file.path} lacks the down or up matrix of {broken or 'every layer'}; download it again."
        )
    return {
        target: (pair["down"], pair["up"], alphas.get(target, float(pair["down"].shape[0])))
        for target, pair in halves.items()
    }
