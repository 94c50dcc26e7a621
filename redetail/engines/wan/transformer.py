"""Loading of WanTransformer3DModel: built without memory of its own, then given the tensors of its files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from redetail.engines.device import Placement
from redetail.engines.folder import ComponentFolder
from redetail.engines.state_dict import StateDict, fill, from_config, skeleton
from redetail.engines.weightfile import open_weights

# Written by some conversions although no layer reads it.
_UNREAD = "norm_added_q"


def load_transformer(part: ComponentFolder, placement: Placement) -> Any:
    """The transformer of a folder on its device; norms, modulation and the time embedding stay in float32, as it was
    trained.

    Raises :class:`~redetail.errors.ModelError` where its files do not hold what its config asks for.
    """
    network: Any = skeleton(lambda: from_config(part.kind, part.config))
    rope = network.rope  # a table that no file holds
    network.rope = type(rope)(rope.attention_head_dim, rope.patch_size, rope.max_seq_len).to(placement.device)
    state = StateDict(part.config, _tensors(part), f"The part {part.path}")
    return fill(network, state, placement, exact=network._keep_in_fp32_modules)


def _tensors(part: ComponentFolder) -> Mapping[str, Tensor]:
    """The tensors of all files of the part's variant."""
    files = [path for path in sorted(part.path.glob("*.safetensors")) if (".fp16" in path.name) == bool(part.variant)]
    read = {name: tensor for path in files for name, tensor in open_weights(path).read().items()}
    return {name: tensor for name, tensor in read.items() if _UNREAD not in name}
