"""Identifies faces: descriptors, and the distance between two of them."""

from redetail.identity.described import DescribedFaces
from redetail.identity.descriptor import SAME, Descriptor, FaceDescriber, distance, mean_descriptor
from redetail.identity.faceness import faceness

__all__ = ["SAME", "DescribedFaces", "Descriptor", "FaceDescriber", "distance", "faceness", "mean_descriptor"]
