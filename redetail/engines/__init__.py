"""Engines: pixels in, pixels out."""

from redetail.engines.base import Capabilities, Engine, Pixels
from redetail.engines.fake import FakeEngine
from redetail.engines.latent import Codec, LatentEngine, LatentModel
from redetail.engines.loader import load_engine

__all__ = ["Capabilities", "Codec", "Engine", "FakeEngine", "LatentEngine", "LatentModel", "Pixels", "load_engine"]
