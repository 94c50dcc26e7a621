"""``--ray`` on the command line: the same bytes, and one sentence for what cannot be."""

# ruff: noqa: F811 - fixtures are imported

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from redetail import api
from redetail.cluster import EnginePool
from redetail.engines import FakeEngine
from tests.cli.conftest import Run, clip, fake_engine, run  # noqa: F401 - fixtures
from tests.cli.test_pages import clip_bytes, folder  # noqa: F401 - fixtures
from tests.cluster.conftest import ONE_CORE
from tests.test_readme import ROOT, commands

BOX = ("--box", "20,20,60,60", "--guide-size", "64", "--steps", "2", "--codec", "ffv1")
TYPED = {shlex.join(words): words for words in commands(ROOT / "docs" / "cluster.md") if words[0] == "redetail"}


def test_detail_on_a_cluster_writes_the_bytes_of_one_process(
    ray, run: Run, fake_engine, clip: Path, tmp_path: Path
) -> None:
    """One worker of two cores; that two workers give the pixels of one process is tested with the executor."""
    alone = run("detail", clip, "-o", tmp_path / "alone.mkv", *BOX)
    shared = run("detail", clip, "-o", tmp_path / "shared.mkv", *BOX, "--ray", "auto", "--ray-cores", "2")
    assert (alone.code, shared.code) == (0, 0)
    assert (tmp_path / "shared.mkv").read_bytes() == (tmp_path / "alone.mkv").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {clip.name, "alone.mkv", "shared.mkv"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ["--ray", "here"],
            "'here' is not the address of a Ray cluster; give 'local', 'auto', or the HOST:PORT of the head node.",
        ),
        (["--ray", "auto", "--ray-cores", "0"], "A worker cannot have 0 cores; give a whole number of at least 1."),
        (["--ray-cores", "2"], "--ray-cores needs a cluster; also give --ray local, --ray auto or --ray HOST:PORT."),
        (
            ["--ray", "local", "--device", "cuda:1"],
            "but on a cluster, Ray chooses the GPU for each worker; set device to cuda",
        ),
    ],
)
def test_what_cannot_be_is_refused(run: Run, clip: Path, options: list[str], sentence: str) -> None:
    ran = run("detail", clip, "-o", clip.parent / "out.mp4", *options)
    assert (ran.code, sentence in ran.err) == (2, True)


@pytest.fixture(scope="module")
def pool(ray) -> Iterator[EnginePool]:
    """A worker with a formula as its engine."""
    with EnginePool(ONE_CORE, FakeEngine) as pool:
        yield pool


@pytest.mark.parametrize("words", TYPED.values(), ids=TYPED)
def test_a_command_of_the_page_runs(
    pool: EnginePool, words: list[str], folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them on one worker of these tests, whatever address they name."""
    monkeypatch.setattr(api, "pool_for", lambda job, cluster: nullcontext(pool))
    before = set(folder.rglob("*"))
    ran = run(*words[1:])
    assert (ran.code, ran.err if ran.code else "") == (0, "")
    assert set(folder.rglob("*")) > before
