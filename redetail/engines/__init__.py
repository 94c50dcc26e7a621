"""Engines: pixels in, pixels out."""
