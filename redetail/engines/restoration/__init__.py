"""The bundled engine's model: a small restoration network with motion layers, its codec and its model folder."""

from redetail.engines.restoration.codec import ResidualCodec
from redetail.engines.restoration.config import ModelCard, NetworkConfig
from redetail.engines.restoration.folder import Loaded, load, save
from redetail.engines.restoration.network import RestorationUNet

__all__ = ["Loaded", "ModelCard", "NetworkConfig", "ResidualCodec", "RestorationUNet", "load", "save"]
