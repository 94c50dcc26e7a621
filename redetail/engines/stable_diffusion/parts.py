"""The parts of a model, and how those of a folder are loaded with diffusers and transformers; nothing is fetched."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from redetail.engines.architectures.stable_diffusion import Conventions
from redetail.engines.config import Config
from redetail.engines.device import Placement
from redetail.engines.stable_diffusion.folder import Part
from redetail.errors import ModelError
from redetail.optional import require


@dataclass(frozen=True, slots=True)
class TextPart:
    """A text encoder, a CLIPTextModel or one with a projection, and its CLIPTokenizer."""

    encoder: Any
    tokenizer: Any


@dataclass(frozen=True, slots=True)
class Parts:
    """The loaded networks of a model, in evaluation mode on their device.

    ``unet`` is a UNetMotionModel; ``vae`` an AutoencoderKL or AutoencoderTiny in float32 where its config asks for
    it; ``texts``: the text encoders, each with its tokenizer; ``scheduler``: the noise that the UNet was trained on, in
    the terms of a scheduler_config.json.
    """

    unet: Any
    vae: Any
    texts: tuple[TextPart, ...]
    family: Conventions
    scheduler: Config = field(default_factory=dict)

    @property
    def motion_limit(self) -> int:
        """The most frames that the motion layers can count."""
        return int(self.unet.config.motion_max_seq_length)


def load_network(part: Part, dtype: torch.dtype) -> Any:
    """One network from its folder, with every weight that its config asks for."""
    options: dict[str, Any] = {"local_files_only": True, "output_loading_info": True, "use_safetensors": True}
    if part.variant is not None:
        options["variant"] = part.variant
    if part.path.name.startswith("text_encoder"):
        package, options["dtype"] = "transformers", dtype
    else:
        package, options["torch_dtype"] = "diffusers", dtype
        options["low_cpu_mem_usage"] = importlib.util.find_spec("accelerate") is not None
    network_class = getattr(require(package), part.kind)
    try:
        network, info = network_class.from_pretrained(str(part.path), **options)
    except (OSError, ValueError, RuntimeError, TypeError, KeyError, SafetensorError) as error:
        raise ModelError(f"The part {part.path} cannot be loaded: {_first_line(error)}") from error
    _check_complete(part, info)
    return network


def _check_complete(part: Part, info: Mapping[str, Any]) -> None:
    """The libraries fill what is missing with random numbers; that would be noise in every frame."""
    wrong = [str(key) for name in ("missing_keys", "mismatched_keys") for key in info.get(name, ())]
    if wrong:
        raise ModelError(
            f"The weights of {part.path} do not fit its config.json: {len(wrong)} tensors are missing or of another "
            f"shape, such as {sorted(wrong)[0]}; copy or download it again."
        )


def load_tokenizer(path: Path, known: int, padding: str | None = None) -> Any:
    """The CLIP tokenizer in a folder, for a text encoder that knows so many tokens; ``padding``: the token that fills
    up a prompt where the folder does not say it."""
    said = {} if padding is None else {"pad_token": padding}
    try:
        tokenizer = require("transformers").CLIPTokenizer.from_pretrained(str(path), local_files_only=True, **said)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"The part {path} is no CLIP tokenizer: {_first_line(error)}") from error
    if len(tokenizer) > known:
        raise ModelError(
            f"The tokenizer {path} knows {len(tokenizer)} tokens, but its text_encoder {known}; "
            "they belong to different models."
        )
    return tokenizer


def vae_dtype(config: Config, kind: str, placement: Placement) -> torch.dtype:
    """What was asked for, else float32 where the VAE overflows in half precision; AutoencoderKL's own default is that
    it does."""
    if placement.vae_dtype is not None:
        return placement.vae_dtype
    return torch.float32 if config.get("force_upcast", kind == "AutoencoderKL") else placement.dtype


def _first_line(error: BaseException) -> str:
    """The first line of a library's message: the rest is advice about its own options."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
