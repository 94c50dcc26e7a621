"""Who is where in one frame: the detector protocol and its implementations."""
