"""Networks in TensorFlow Lite files, run by LiteRT (package ``ai-edge-litert``)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redetail.errors import ModelError
from redetail.optional import require

FOLDER = Path(__file__).parents[1] / "bundled" / "mediapipe"
"""The folder of MediaPipe's networks; the card in it describes each of them."""

Floats = NDArray[np.float32]


class LiteNetwork:
    """A network with one picture as its input. Do not share it between threads.

    Raises :class:`~redetail.errors.DependencyError` if LiteRT is missing, and :class:`~redetail.errors.ModelError` for
    a file that LiteRT cannot read.
    """

    def __init__(self, path: Path) -> None:
        litert = require("ai_edge_litert.interpreter")
        try:
            with _silent():
                self._interpreter = litert.Interpreter(model_path=str(path), num_threads=require("cv2").getNumThreads())
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"The network {path} cannot be read; reinstall redetail.") from error
        self._input: dict[str, Any] = self._interpreter.get_input_details()[0]
        self._outputs = {one["name"]: one["index"] for one in self._interpreter.get_output_details()}
        self.side = int(self._input["shape"][1])
        """Side in pixels of the square picture that the network takes."""

    def run(self, picture: Floats) -> dict[str, Floats]:
        """The outputs by name, without the batch axis, for a picture (side, side, 3) float32."""
        self._interpreter.set_tensor(self._input["index"], picture[None])
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(index)[0] for name, index in self._outputs.items()}


@contextmanager
def _silent() -> Iterator[None]:
    """Discard what native code writes to stderr: LiteRT prints a line for every network, and no setting turns it
    off."""
    try:
        kept = os.dup(2)
    except OSError:  # no stderr, as in programs without a console
        yield
        return
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
