"""LoRA files of every layout, and networks that they are merged into."""
