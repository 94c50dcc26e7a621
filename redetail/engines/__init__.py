"""Engines: pixels in, pixels out."""

from redetail.engines.arrays import enhance_arrays, run_checked
from redetail.engines.base import Capabilities, CropSource, Engine, Pixels, Request
from redetail.engines.fake import FakeEngine
from redetail.engines.latent import Codec, LatentEngine, LatentModel
from redetail.engines.loader import load_engine

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
