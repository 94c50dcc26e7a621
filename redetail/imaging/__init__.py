"""Resampling, masks, blending, colour and optical flow: arithmetic on pixels."""
