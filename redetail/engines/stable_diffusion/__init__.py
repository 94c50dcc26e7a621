"""Stable Diffusion 1.x and XL with AnimateDiff's motion layers, from single files and model folders."""
