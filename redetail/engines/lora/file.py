"""What a LoRA file adds to which layer, whichever program wrote it.

The layouts are facts of the published files::

    lora_unet_down_blocks_0_..._to_q.lora_down.weight     kohya's scripts (also with the original code's block names)
    unet.down_blocks.0....to_q.lora_A.weight              peft and diffusers
    unet.down_blocks.0....processor.to_q_lora.down.weight diffusers before peft

and ``lora_te_...`` or ``text_encoder. ...`` for the text encoder. Of video transformers (Wan)::

    lora_unet_blocks_0_self_attn_q.lora_down.weight       kohya's scripts (musubi-tuner)
    diffusion_model.blocks.0.self_attn.q.lora_A.weight    ComfyUI, lightx2v; ``.diff`` and ``.diff_b`` next to them
    transformer.blocks.0.attn1.to_q.lora_A.weight         diffusers

Here, a layer is identified by its part and by its name with underscores instead of dots, which all layouts share.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from redetail.engines.files import FileFacts, open_as
from redetail.engines.weightfile import WeightFile
from redetail.errors import ModelError

Layer = tuple[str, str]
"""Part ("unet", which can be a transformer, "text" or "text_2") and flat name of a layer."""

_ROLES = re.compile(
    r"^(?P<layer>.+?)[._](?P<role>"
    r"lora_(?:down|up|mid|A|B)(?:\.default)?\.weight|lora(?:_linear_layer)?\.(?:down|up)\.weight"
    r"|alpha|dora_scale|lora_magnitude_vector(?:\.default)?(?:\.weight)?"
    r"|hada_(?:w[12]_[ab]|t[12])|lokr_(?:w[12](?:_[ab])?|t2)|diff(?:_b)?)$"
)
_SHORT = {
    "lora_down.weight": "down", "lora_A.weight": "down", "lora.down.weight": "down",
    "lora_linear_layer.down.weight": "down", "lora_up.weight": "up", "lora_B.weight": "up", "lora.up.weight": "up",
    "lora_linear_layer.up.weight": "up", "lora_mid.weight": "mid", "dora_scale": "dora",
    "lora_magnitude_vector": "dora", "lora_magnitude_vector.weight": "dora",
}  # fmt: skip
_PARTS = (
    (re.compile(r"^lora_te2_|^text_encoder_2[._]"), "text_2"),
    (re.compile(r"^lora_te1?_|^text_encoder[._]"), "text"),
    (re.compile(r"^lora_unet_|^unet[._]|^diffusion_model[._]|^transformer\.(?!transformer_blocks)"), "unet"),
)
_PEFT_PREFIX = "base_model.model."
_TEXT_LAYER = re.compile(r"^(text_model_)?encoder_layers_\d")
_OLD_NAMES = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}


@dataclass(frozen=True, slots=True)
class LoraFile:
    """``layers``: for each layer the tensors that change it, by role ("down", "up", "alpha", "w1_a" ...).

    ``unknown``: names of tensors without a known role.
    """

    path: Path
    facts: FileFacts
    layers: Mapping[Layer, Mapping[str, Tensor]]
    stated: Mapping[str, Mapping[str, Any]]
    unknown: tuple[str, ...] = ()

    def scale(self, layer: Layer, rank: int) -> float:
        """alpha / rank (Hu et al. 2021, arXiv:2106.09685), or alpha / sqrt(rank) for a rank-stabilised LoRA
        (arXiv:2312.03732); 1 if there is no alpha."""
        stated = self.stated.get(layer[0], {})
        alpha = self.layers[layer].get("alpha")
        value = _pattern(stated.get("alpha_pattern") or {}, layer[1]) if alpha is None else float(alpha)
        if value is None:
            value = stated.get("lora_alpha")
        if value is None:
            return 1.0
        return float(value) / (math.sqrt(rank) if stated.get("use_rslora") else rank)


def read_lora(path: Path) -> LoraFile:
    """Read a LoRA, LoCon, LoHa or LoKr file.

    Raises :class:`~redetail.errors.ModelError` for a file that is something else or holds a DoRA.
    """
    file, facts = open_as(path, ("lora",), "a LoRA")
    layers: dict[Layer, dict[str, Tensor]] = {}
    unknown: list[str] = []
    for name, tensor in file.read().items():
        match = _ROLES.match(name)
        if match is None:
            unknown.append(name)
        else:
            role = match["role"].replace(".default", "").removeprefix("hada_").removeprefix("lokr_")
            prefix = "lokr_" if "lokr_" in match["role"] else ""
            layers.setdefault(_layer(match["layer"]), {})[_SHORT.get(role, prefix + role)] = tensor
    if any("dora" in tensors for tensors in layers.values()):
        raise ModelError(f"{path} is a DoRA (weight-decomposed LoRA), which is not supported; use a plain LoRA.")
    return LoraFile(path, facts, layers, _stated(file), tuple(unknown))


def _layer(name: str) -> Layer:
    """The part and flat name that a layout's name means."""
    name = name.removeprefix(_PEFT_PREFIX)
    for pattern, part in _PARTS:
        if pattern.match(name):
            return part, _flat(pattern.sub("", name, count=1).removeprefix(_PEFT_PREFIX), part)
    part = "text" if _TEXT_LAYER.match(name.replace(".", "_")) else "unet"
    return part, _flat(name, part)


def _flat(name: str, part: str) -> str:
    name = name.replace(".processor.", ".").replace(".", "_")
    if part != "unet":
        return re.sub(r"self_attn_(to_\w+)$", lambda m: f"self_attn_{_OLD_NAMES.get(m[1], m[1])}", flat_text(name))
    return re.sub(r"_to_out$", "_to_out_0", name)


def flat_text(name: str) -> str:
    """The flat name of a text encoder's layer without the module that some versions keep its layers in."""
    return name.replace(".", "_").removeprefix("text_model_")


def _stated(file: WeightFile) -> dict[str, dict[str, Any]]:
    """The values that peft states once for all layers of a part, next to the tensors or in a separate file."""
    beside = file.path.with_name("adapter_config.json")
    if file.path.name.startswith("adapter_model") and os.path.isfile(beside):
        whole = _json(beside.read_text(encoding="utf-8", errors="replace"))
        return {"unet": whole, "text": whole}
    found: dict[str, dict[str, Any]] = {}
    for name, value in _json(file.metadata.get("lora_adapter_metadata", "{}")).items():
        part, _, key = name.partition(".")
        found.setdefault({"text_encoder": "text", "text_encoder_2": "text_2"}.get(part, part), {})[key] = value
    return found


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _pattern(patterns: Mapping[str, Any], flat: str) -> Any:
    """The value of a layer in peft's patterns, which match the end of its name."""
    return next((value for end, value in patterns.items() if flat.endswith(end.strip("^$").replace(".", "_"))), None)
