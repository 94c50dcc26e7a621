"""Whose face it is: descriptors of faces, and how far two are apart."""

from redetail.identity.descriptor import FaceDescriber, distance, mean_descriptor

__all__ = ["FaceDescriber", "distance", "mean_descriptor"]
