"""Makes networks from tensors: they are built without memory, then given the tensors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from redetail.engines.device import Placement
from redetail.engines.weightfile import WeightFile
from redetail.errors import ModelError
from redetail.optional import require

N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class StateDict:
    """The parts of a network: its config, its tensors by name, and the words that name it in errors.

    ``kept``: names of tensors that stay in the precision they are stored in.
    """

    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    origin: str
    kept: frozenset[str] = frozenset()


class _WithoutInit(TorchFunctionMode):
    """Skips the initial values of weights: the meta device has none, but setting them would import PyTorch's compiler,
    which takes seconds."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else given["tensor"]
        return func(*args, **given)


def skeleton(build: Callable[[], N]) -> N:
    """A network without values, which takes no memory."""
    with torch.device("meta"), _WithoutInit():
        return build()


def from_config(kind: str, config: Mapping[str, Any]) -> nn.Module:
    """A network of one of diffusers' classes."""
    network: nn.Module = getattr(require("diffusers"), kind).from_config(dict(config))
    return network


def renamed(file: WeightFile, names: Mapping[str, str], config: Mapping[str, Any], part: str) -> StateDict:
    """The tensors of a file under new names; they stay in the file until they are placed."""
    return StateDict(config, file.view(names), f"The {part} of {file.path}")


def fill(network: nn.Module, state: StateDict, placement: Placement, *, exact: Collection[str] = ()) -> nn.Module:
    """Give a skeleton its tensors, in evaluation mode on their device; the network is changed and returned.

    ``exact``: names of modules and parameters that stay in float32, whatever the precision of the others.

    A tensor that already has the right device and precision is used as it is, mapped from disk; any other is converted
    by itself, so that the peak of memory is one network and one tensor. Raises :class:`~redetail.errors.ModelError` for
    tensors that are missing, left over or of the wrong shape; the libraries would fill missing ones with random
    numbers.
    """
    wanted = {name: tensor.shape for name, tensor in network.state_dict().items()}
    _check_names(wanted, state)
    ready = {name: _placed(state.tensors[name], shape, name, state, placement, exact) for name, shape in wanted.items()}
    network.load_state_dict(ready, assign=True)
    _fill_counters(network, placement)
    return network.eval().requires_grad_(False)


def _check_names(wanted: Mapping[str, torch.Size], state: StateDict) -> None:
    missing, extra = sorted(wanted.keys() - state.tensors.keys()), sorted(state.tensors.keys() - wanted.keys())
    if missing:
        raise ModelError(
            f"{state.origin} lacks tensors such as {missing[0]} ({len(missing)} in all); download it again."
        )
    if extra:
        raise ModelError(
            f"{state.origin} has tensors that redetail does not expect, such as {extra[0]} ({len(extra)} in all); "
            "this kind of model is not supported."
        )


def _placed(
    tensor: Tensor, shape: torch.Size, name: str, state: StateDict, placement: Placement, exact: Collection[str]
) -> Tensor:
    """A tensor on its device, in its precision and shape; a 1x1 convolution is a matrix in another shape."""
    if tensor.shape != shape and tensor.numel() == shape.numel() and tensor.squeeze().shape == shape:
        tensor = tensor.reshape(shape)
    if tensor.shape != shape:
        raise ModelError(
            f"{state.origin} has the tensor {name} with the shape {tuple(tensor.shape)} instead of {tuple(shape)}; it "
            "is damaged, or this kind of model is not supported."
        )
    if name in state.kept:
        return tensor.to(placement.device)
    dtype = placement.dtype if set(exact).isdisjoint(name.split(".")) else torch.float32
    return tensor.to(placement.device, dtype)


def _fill_counters(network: nn.Module, placement: Placement) -> None:
    """Fill buffers that files do not contain, such as the position numbers of transformers."""
    for module in network.modules():
        for name, buffer in list(module.named_buffers(recurse=False)):
            if buffer.is_meta and name == "position_ids":
                setattr(module, name, torch.arange(buffer.shape[-1], device=placement.device)[None])
