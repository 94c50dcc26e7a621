"""A palette of 256 colours for each frame of a GIF, made and dithered by FFmpeg's filters."""

from __future__ import annotations

from fractions import Fraction

import av
from av import VideoFrame
from av.filter import Graph

from redetail.region import Size


class Palette:
    """Turns RGB frames into frames that each have their own palette."""

    def __init__(self, size: Size, tick: Fraction) -> None:
        self._size, self._tick = size, tick

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        """A "pal8" frame with the same timestamps. There is one graph per frame, since the filters would hold back the
        last one."""
        graph = self._graph()
        graph.push(frame)
        graph.push(None)
        result = graph.pull()
        assert isinstance(result, VideoFrame)
        result.pts, result.time_base, result.duration = frame.pts, frame.time_base, frame.duration
        return result

    def _graph(self) -> Graph:
        graph = Graph()
        source = graph.add_buffer(
            width=self._size.width, height=self._size.height, format=av.VideoFormat("rgb24"), time_base=self._tick
        )
        split, sink = graph.add("split"), graph.add("buffersink")
        maker, user = graph.add("palettegen", "stats_mode=single"), graph.add("paletteuse", "new=1")
        source.link_to(split)
        split.link_to(user, 0, 0)
        split.link_to(maker, 1, 0)
        maker.link_to(user, 0, 1)
        user.link_to(sink)
        graph.configure()
        return graph
