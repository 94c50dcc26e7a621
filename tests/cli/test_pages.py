"""Every command in the README and the docs runs, in a folder that holds what it names, with a formula as the engine.

A command that cannot run here is in ``NOT_RUN`` or ``OTHERS`` with the reason, a script in ``SCRIPTS``; a reason that
nothing needs is an error.
"""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from redetail.engines import FakeEngine
from tests.cli.conftest import Run, write_video
from tests.clips import clip_frames
from tests.test_readme import PAGES, ROOT, blocks, commands

_WEIGHTS = "published weights: tests/end_to_end/test_weights.py and test_wan.py run the same options on thin files"
NOT_RUN = {
    "--checkpoint": _WEIGHTS,
    "models inspect": _WEIGHTS,
    "models check": _WEIGHTS,
    "--detector": "published detectors: tests/selection/test_detector_file.py runs small ones",
    "redetail web": "a server that runs until it is stopped: tests/web starts it",
    "--ray": "tests/cluster/test_cli.py runs them on one Ray instance",
    "--detect hands": "MediaPipe's networks take seconds: tests/detection runs them",
}
OTHERS = {  # by how they start
    "cd": "changes the folder of the reader's shell",
    "git clone": "needs the network",
    "pip install": "needs the network; tests/test_wheel.py installs the wheel into an empty environment",
    "python -m pip install": "needs the network",
    "make test": "runs this test",
    "make demo": "takes minutes; tests/test_readme.py checks that the target exists",
    "make comfy": "needs the network; make test does it before the tests",
    "python benchmarks/": "takes minutes to hours; tests/test_readme.py checks scripts and options",
    ".venv/bin/python benchmarks/": "as above",
    "python training/": "takes hours and data; tests/training runs the parts, tests/test_readme.py checks the options",
    "REDETAIL_COMFYUI=": "needs a ComfyUI; tests/comfy skips what it cannot run without one",
    "ray start": "starts daemons; tests/cluster starts Ray in its process",
}
SCRIPTS = {
    "docs/cluster.md": "needs Slurm; its redetail command is typed elsewhere on the page",
    "benchmarks/labels/README.md": "needs the network; tests/test_labelled_faces.py checks the packages it names",
}
CONFIG = "[settings]\nguide_size = 64\nmax_size = 64\n\n[encode]\npreset = 'ultrafast'\n"
TYPED = [
    (page, words)
    for page in PAGES
    for words in commands(page)
    if words[0] == "redetail" and not any(mark in " ".join(words) for mark in NOT_RUN)
]


def track(label: str, left: float, frames: range) -> dict[str, object]:
    """A track of the tracks document, a box that stays where it is."""
    box = [left, 40.0, left + 60.0, 110.0]
    return {"label": label, "tracklets": [{"start": frames.start, "confidence": 0.9, "boxes": [box] * len(frames)}]}


def frames_of_a_face() -> list[NDArray[np.uint8]]:
    """Three frames, 288x240, with everything that the commands draw a box round."""
    return [frame[:240, :288] for frame in clip_frames("guitarist")[:3]]


@pytest.fixture(scope="module")
def clip_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Those as a video."""
    return write_video(tmp_path_factory.mktemp("clip") / "in.mp4", frames_of_a_face()).read_bytes()


@pytest.fixture
def folder(tmp_path: Path, clip_bytes: bytes, monkeypatch: pytest.MonkeyPatch, fake_engine: FakeEngine) -> Path:
    """The working folder of a person who reads the docs: a clip of a face under the names that they use.

    It is small, and so are the crops and the effort of the encoder, since what is tested is that the commands run.
    """
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "config" / "redetail").mkdir(parents=True)
    (tmp_path / "config" / "redetail" / "config.toml").write_text(CONFIG)
    (tmp_path / "in.mp4").write_bytes(clip_bytes)
    for name in (
        "low.mp4",
        "high.mp4",
        "soft.mp4",
        "strong.mp4",
        "sharp.mp4",
        "a.mp4",
        "film.mp4",
        "clips/1.mp4",
        "takes/2.mov",
        "takes/3.mp4",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes((tmp_path / "in.mp4").read_bytes())
    (tmp_path / "list.txt").write_text("takes/3.mp4\n")
    (tmp_path / "job.toml").write_text('source = "in.mp4"\noutput = "job-out.mp4"\n')
    Image.fromarray(np.pad(np.full((80, 80), 255, np.uint8), ((60, 100), (90, 118)))).save(tmp_path / "mask.png")
    Image.fromarray(frames_of_a_face()[0]).save(tmp_path / "anna.jpg")
    first, last = range(2), range(2, 3)
    tracks = [track("face 1", 10, first), track("face 2", 90, first), track("face 3", 170, first)]
    tracks.append(track("face 4", 12, last))
    document = {"tracks_version": 1, "size": [288, 240], "tracks": tracks}
    (tmp_path / "tracks.json").write_text(json.dumps(document))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def short(words: list[str]) -> Iterator[str]:
    """The command's arguments with moments of a long clip at the start of ours."""
    moments = {"0:02": "0f", "0:03": "3f", "2@120f": "2@1f", "231,158,267,181@24f": "231,158,267,181@1f"}
    return (moments.get(word, word) for word in words[1:])


@pytest.mark.parametrize(
    ("page", "words"), TYPED, ids=[f"{page.relative_to(ROOT)}: {shlex.join(words)}" for page, words in TYPED]
)
def test_a_command_of_a_page_runs(page: Path, words: list[str], folder: Path, run: Run) -> None:
    if words[1] == "evaluate":
        (folder / "out.mp4").write_bytes((folder / "in.mp4").read_bytes())
    before = set(folder.rglob("*"))
    ran = run(*short(words))
    assert (ran.code, ran.err if ran.code else "") == (0, "")
    assert set(folder.rglob("*")) > before or words[1] in ("models", "evaluate", "completion"), "it wrote nothing"


def reason(words: list[str]) -> str | None:
    """Why a command is not run here; None if it is, or if nobody has given a reason."""
    line = " ".join(words)
    if words[0] == "redetail":
        return next((why for mark, why in NOT_RUN.items() if mark in line), None)
    return next((why for start, why in OTHERS.items() if line.startswith(start)), None)


def test_every_command_is_run_or_has_a_reason() -> None:
    run = [words for _, words in TYPED]
    others = [words for page in PAGES for words in commands(page) if words not in run]
    assert [shlex.join(words) for words in others if reason(words) is None] == []
    assert {str(page.relative_to(ROOT)) for page in PAGES if blocks(page, "bash")} == set(SCRIPTS)


def test_what_is_not_run_is_still_on_a_page() -> None:
    typed = [" ".join(words) for page in PAGES for words in commands(page)]
    assert [mark for mark in NOT_RUN if not any(mark in line for line in typed)] == []
    assert [start for start in OTHERS if not any(line.startswith(start) for line in typed)] == []


@pytest.mark.parametrize("page", ["evaluate.md", "jobs.md"])
def test_the_python_of_a_page_runs(page: str, folder: Path) -> None:
    names: dict[str, object] = {}
    for code in blocks(ROOT / "docs" / page, "python"):
        exec(compile(code if "import redetail" in code else f"import redetail\n{code}", page, "exec"), names)
    assert {"shown", "compared"} <= set(names) or (folder / "again.mp4").exists()


def test_the_sampler_of_the_page_is_the_one_that_runs() -> None:
    (code,) = blocks(ROOT / "docs" / "samplers.md", "python")
    assert code.partition("\n")[2] in (ROOT / "redetail" / "sampling" / "samplers" / "runge_kutta.py").read_text()
