"""What ComfyUI loads when this repository lies in its ``custom_nodes`` folder: the nodes, and nothing else.

The package is loaded from here without touching the search path, so that neither another ``redetail`` nor anything
that lies beside it here is picked up by accident. As a library, import ``redetail`` as usual; where a clone of that
name lies in the current folder, Python finds this file first, which then steps aside for the package.
"""

import importlib.util
import sys
from pathlib import Path

if __name__ == "redetail" or "redetail" not in sys.modules:
    _folder = Path(__file__).resolve().parent / "redetail"
    _spec = importlib.util.spec_from_file_location(
        "redetail", _folder / "__init__.py", submodule_search_locations=[str(_folder)]
    )
    sys.modules["redetail"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["redetail"])

if __name__ != "redetail":
    from redetail.comfy.registry import keep_ids, node_mappings  # only now can it be found

    NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS = node_mappings()
    keep_ids(NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS)
    WEB_DIRECTORY = "./redetail/comfy/web"

    __all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "WEB_DIRECTORY"]
