"""Stable Diffusion with AnimateDiff motion layers, read from a model folder in the diffusers layout."""
