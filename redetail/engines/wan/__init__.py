"""Wan: a video transformer over a causal video VAE."""
