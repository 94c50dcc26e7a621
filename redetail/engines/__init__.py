"""Engines: pixels in, pixels out."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redetail.engines.arrays import enhance_arrays, run_checked
    from redetail.engines.base import Capabilities, CropSource, Engine, Pixels, Request
    from redetail.engines.fake import FakeEngine
    from redetail.engines.latent import Codec, LatentEngine, LatentModel
    from redetail.engines.loader import load_engine

# Imported when they are used: the command line asks ``architectures`` for presets and names, which needs no PyTorch.
_LAZY = {
    **dict.fromkeys(("enhance_arrays", "run_checked"), "arrays"),
    **dict.fromkeys(("Capabilities", "CropSource", "Engine", "Pixels", "Request"), "base"),
    "FakeEngine": "fake",
    **dict.fromkeys(("Codec", "LatentEngine", "LatentModel"), "latent"),
    "load_engine": "loader",
}

__all__ = [
    "Capabilities",
    "Codec",
    "CropSource",
    "Engine",
    "FakeEngine",
    "LatentEngine",
    "LatentModel",
    "Pixels",
    "Request",
    "enhance_arrays",
    "load_engine",
    "run_checked",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'redetail.engines' has no attribute {name!r}")
    return getattr(import_module(f"redetail.engines.{_LAZY[name]}"), name)
