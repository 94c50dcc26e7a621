"""redetail inside ComfyUI: nodes, the engine that samples through ComfyUI, and the conversion of its types.

Nothing here is imported by the rest of redetail. ``comfy`` and its companions are imported only where ComfyUI runs.
"""
