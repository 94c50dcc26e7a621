"""Names for files that no family here can use, so that a message can say what was given."""

from __future__ import annotations

from redetail.engines.architectures.base import Shapes

# By a part of a tensor's name that is typical of it.
_NAMES = {
    "double_blocks.0.": "a Flux model",
    "joint_blocks.0.": "a Stable Diffusion 3 model",
    "image_proj.": "an IP-Adapter",
    "ip_adapter.": "an IP-Adapter",
    "SelfAttention": "a T5 text encoder",
    "visual_projection.weight": "a CLIP vision encoder",
    "conv_first.weight": "an upscaler",
    "conv_body.weight": "an upscaler",
    "body.0.block1": "a T2I-Adapter",
}


def unsupported_name(shapes: Shapes) -> str:
    """What a file with these tensors is, in words; "" if it is not known here either."""
    return next((what for part, what in _NAMES.items() if any(part in name for name in shapes)), "")
