"""Small files of every kind for runs of the command line."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from redetail import api
from redetail.cli.main import main
from redetail.engines import FakeEngine

CLIPS = Path(__file__).parents[1] / "data" / "clips"
SIZE = 96, 80
FRAMES = 6


@dataclass(frozen=True)
class Ran:
    """What a command left: its exit code, and what it said."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """Run the command line in this process, with temporary files in a folder of the test's own."""
    monkeypatch.setenv("TMPDIR", str(tmp_path_factory.mktemp("temporary")))

    def command(*arguments: object) -> Ran:
        code = main([str(argument) for argument in arguments])
        return Ran(code, *capsys.readouterr())

    return command


@pytest.fixture
def fake_engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """The engine that every command loads: a formula in place of a network."""
    engine = FakeEngine()
    monkeypatch.setattr(api, "load_engine", lambda model=None, **options: engine)
    return engine


def pictures(frames: int = FRAMES, size: tuple[int, int] = SIZE) -> list[NDArray[np.uint8]]:
    """A soft pattern that moves by a pixel a frame: no face anywhere."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    waves = [np.sin((x + shift) / 5) * np.cos(y / 7) for shift in range(frames)]
    return [np.repeat((128 + 90 * wave).astype(np.uint8)[..., None], 3, 2) for wave in waves]


def write_video(path: Path, frames: list[NDArray[np.uint8]]) -> Path:
    """An H.264 video of these pictures at 10 frames a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(10), options={"crf": "10"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A clip of 6 frames, 96x80, without a face."""
    return write_video(tmp_path / "clip.mp4", pictures())


@pytest.fixture
def short_mask(tmp_path: Path) -> Path:
    """A mask video of 3 frames, all white."""
    return write_video(tmp_path / "mask.mp4", [np.full((SIZE[1], SIZE[0], 3), 255, np.uint8)] * 3)


@pytest.fixture
def sound_file(tmp_path: Path) -> Path:
    """A second of silence without a picture."""
    path = tmp_path / "sound.m4a"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
