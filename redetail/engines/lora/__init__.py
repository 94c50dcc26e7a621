"""LoRA files in every layout, and the networks that they are merged into."""
