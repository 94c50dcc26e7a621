"""Turn a training run into a model folder: `python training/export.py --run RUN --output FOLDER`.

With `--inventive` the run is one of crisp.py: it becomes the inventive end of the dial of the model in FOLDER.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from redetail.engines.restoration import ModelCard, NetworkConfig, RestorationUNet, load, save

log = logging.getLogger("export")

VERSION = "5.2"
# Chosen by training/evaluate.py on the held-out files; see docs/model-log.md.
DEFAULTS = {
    "steps": 1,
    "sampler": "euler",
    "scheduler": "sgm_uniform",
    "cfg": 1.15,
    "denoise": 0.8,
    "guide_size": 384.0,
    "guide_size_for": "crop_region",
    "max_size": 768.0,
    "max_upscale": 1.3,
    "mask_feather": 2,
    "color_match": False,
    "crop_factor": 1.8,
}


def add_inventive(folder: Path, network: RestorationUNet, trained: dict[str, Any]) -> None:
    """Add the weights of the inventive end of the dial to a model, and how long they took to train."""
    loaded = load(folder)
    card = dataclasses.replace(
        loaded.card, version=VERSION, defaults=DEFAULTS, trained={**loaded.card.trained, "inventive": trained}
    )
    save(folder, loaded.network, card, loaded.draft, network)
    log.info("%s: %d training steps of the inventive end", folder, trained["steps"])


def main() -> None:
    """Read RUN/checkpoint.pt and write the averaged weights, and those of the network that makes the drafts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--inventive", action="store_true", help="add it to the model in the output folder")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    saved = torch.load(options.run / "checkpoint.pt", map_location="cpu", weights_only=True)
    config = NetworkConfig.from_json(saved["config"])
    network, draft = RestorationUNet(config), None
    network.load_state_dict(saved["average"])
    if config.drafted:
        draft = RestorationUNet(dataclasses.replace(config, drafted=False))
        draft.load_state_dict(saved["draft"])
    if options.inventive:
        add_inventive(options.output, network, {"steps": saved["step"], "minutes": round(saved["seconds"] / 60, 1)})
        return
    trained = {"steps": saved["step"], "minutes": round(saved["seconds"] / 60, 1)}
    card = ModelCard(name="redetail restoration", version=VERSION, defaults=DEFAULTS, trained=trained)
    save(options.output, network, card, draft)
    weights = sum(path.stat().st_size for path in options.output.glob("*.safetensors"))
    log.info("%s: %d training steps, %.1f MB", options.output, saved["step"], weights / 1e6)


if __name__ == "__main__":
    main()
