"""redetail: detail regions of a video with a diffusion model."""

__version__ = "0.1.0"
