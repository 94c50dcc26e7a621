"""Which pixels the check of the written file leaves out: those whose colour a pasted one can change."""

import av
import numpy as np
import pytest

from redetail.pipeline.written import SHARED, _grown
from redetail.video.color import Decoder


@pytest.mark.parametrize(("y", "x"), [(10, 10), (11, 12), (13, 15)])
def test_a_sample_of_colour_reaches_no_further_than_what_is_left_out(y: int, x: int) -> None:
    decoded = []
    for value in (60, 220):
        frame = av.VideoFrame(32, 32, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes([120]) * plane.buffer_size)
        colours = np.full((16, frame.planes[1].line_size), 120, np.uint8)
        colours[y // 2, x // 2] = value
        frame.planes[1].update(colours.tobytes())
        decoded.append(Decoder(False)(frame).astype(int))
    touched = np.zeros((32, 32), bool)
    touched[y // 2 * 2 : y // 2 * 2 + 2, x // 2 * 2 : x // 2 * 2 + 2] = True
    changed = np.abs(decoded[1] - decoded[0]).max(2) > 0
    assert not changed[~_grown(touched)].any()
    rows = np.flatnonzero(changed.any(1))
    assert (y // 2 * 2 - rows.min(), rows.max() - (y // 2 * 2 + 1)) == (SHARED, SHARED)  # and all of that is needed
