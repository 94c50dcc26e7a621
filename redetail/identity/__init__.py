"""Whose face it is: descriptors of faces, and how far two are apart."""

from redetail.identity.described import DescribedFaces
from redetail.identity.descriptor import SAME, Descriptor, FaceDescriber, distance, mean_descriptor
from redetail.identity.faceness import faceness

__all__ = ["SAME", "DescribedFaces", "Descriptor", "FaceDescriber", "distance", "faceness", "mean_descriptor"]
