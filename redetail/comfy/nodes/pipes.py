"""BASIC_PIPE: a model with all that belongs to it in one link."""

from __future__ import annotations

from typing import Any

from redetail.comfy.convert import Pipe
from redetail.comfy.schema import Inputs, Node, socket
from redetail.errors import InputError


class ToBasicPipe(Node):
    """Bundle a model and what belongs to it."""

    ID = "ToBasicPipe"
    NAME = "ToBasicPipe"
    CATEGORY = "ImpactPack/Pipe"
    DESCRIPTION = "Bundles model, CLIP, VAE and prompts into one link."
    SEARCH_ALIASES = ["basic pipe", "bundle model"]
    RETURN_TYPES = ("BASIC_PIPE",)
    RETURN_NAMES = ("basic_pipe",)
    OUTPUT_TOOLTIPS = ("The bundle, for detailers and for FromBasicPipe.",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "model": socket("MODEL", "The diffusion model, with its motion model if it has one."),
                "clip": socket("CLIP", "The text encoder."),
                "vae": socket("VAE", "The VAE, which encodes and decodes the pictures."),
                "positive": socket("CONDITIONING", "The prompt: what to paint."),
                "negative": socket("CONDITIONING", "The negative prompt: what not to paint."),
            }
        }

    @staticmethod
    def doit(model: Any, clip: Any, vae: Any, positive: Any, negative: Any) -> tuple[tuple[Any, ...]]:
        """The bundle."""
        return ((model, clip, vae, positive, negative),)


class FromBasicPipe(Node):
    """Take a bundle apart."""

    ID = "FromBasicPipe"
    NAME = "FromBasicPipe"
    CATEGORY = "ImpactPack/Pipe"
    DESCRIPTION = "Takes a BASIC_PIPE apart into model, CLIP, VAE and prompts."
    SEARCH_ALIASES = ["basic pipe", "unbundle model"]
    RETURN_TYPES = ("MODEL", "CLIP", "VAE", "CONDITIONING", "CONDITIONING")
    RETURN_NAMES = ("model", "clip", "vae", "positive", "negative")
    OUTPUT_TOOLTIPS = (
        "The diffusion model.",
        "The text encoder.",
        "The VAE.",
        ("The prompt: what to paint."),
        "The negative prompt: what not to paint.",
    )

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {"required": {"basic_pipe": socket("BASIC_PIPE", "The bundle to take apart.")}}

    @staticmethod
    def doit(basic_pipe: Any) -> tuple[Any, ...]:
        """Its five parts; a part that was never put in is None."""
        if not isinstance(basic_pipe, tuple | list) or len(basic_pipe) != len(Pipe._fields):
            raise InputError(
                "basic_pipe is not a BASIC_PIPE (model, clip, vae, positive, negative); connect a ToBasicPipe node."
            )
        return tuple(basic_pipe)


NODES: tuple[type[Node], ...] = (ToBasicPipe, FromBasicPipe)
