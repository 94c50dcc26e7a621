"""What `pip install` brings: the built wheel, installed into an environment of its own, runs the main job elsewhere.

The environment sees the dependencies of the one that runs the tests, behind its own packages, so that only redetail is
installed; `redetail` itself must come from the wheel. Workflows install everything from nothing on each platform.
"""

import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cli.conftest import write_video
from tests.clips import clip_frames

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SHIPPED = {
    "redetail/bundled/restoration/model.safetensors",
    "redetail/bundled/restoration/inventive.safetensors",
    "redetail/bundled/yunet/face_detection_yunet_2023mar.onnx",
    "redetail/bundled/face_descriptor/descriptor.safetensors",
    "redetail/bundled/second_opinion/second_opinion.safetensors",
    "redetail/bundled/clip_tokenizer/vocab.json",
    "redetail/comfy/web/docs/RedetailDetailer.md",
    "redetail/py.typed",
}


def run(command: Sequence[object], folder: Path) -> str:
    """Standard output of a command that must succeed, run in ``folder`` without the source tree on its path."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        [str(word) for word in command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT], folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment with the wheel in it."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    python = programs / ("python.exe" if os.name == "nt" else "python")
    run(
        [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel],
        folder,
    )
    (site,) = run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder).split("\n")[:1]
    Path(site, "dependencies.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    return programs


def test_the_wheel_holds_weights_pages_and_licences_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert names >= SHIPPED
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert {name.split("/")[0].rpartition(".")[2] for name in names} == {"redetail", "dist-info"}


def test_its_metadata_is_what_an_index_accepts(wheel: Path) -> None:
    assert "PASSED" in run([sys.executable, "-m", "twine", "check", "--strict", wheel], wheel.parent)


def test_the_installed_command_details_a_clip_in_another_folder(installed: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "in.mp4", clip_frames("guitarist")[:4])
    where = run([installed / "python", "-c", "import redetail; print(redetail.__file__)"], tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    small = ("--guide-size", "96", "--max-size", "192", "--steps", "1")
    run([installed / "redetail", "detail", "in.mp4", "-o", "out.mp4", *small], tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]
    assert (tmp_path / "out.mp4").stat().st_size > 1000


def test_it_says_which_extra_is_missing(installed: Path, tmp_path: Path) -> None:
    """Without the packages of `standalone` the library still imports, and a run names what to install."""
    probe = (
        "import sys\n"
        "for name in ('av', 'cv2'): sys.modules[name] = None\n"
        "import redetail\n"
        "try: redetail.detail('in.mp4', 'out.mp4')\n"
        "except redetail.RedetailError as error: print(error)\n"
    )
    write_video(tmp_path / "in.mp4", clip_frames("guitarist")[:2])
    assert "redetail[standalone]" in run([installed / "python", "-c", probe], tmp_path)
