"""``redetail batch``: what fails is reported, what is done is passed over, and what was stopped goes on."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from redetail import api
from redetail.batch import BatchClip, Outcome, State
from redetail.cli.batch import BatchLines, BatchTable, batch_summary
from redetail.engines import FakeEngine
from redetail.errors import Cancelled
from redetail.progress import Progress
from tests.cli.conftest import pictures, write_video

BOX = ("--box", "20,20,60,60", "--guide-size", "64", "--steps", "2")


class Counting(FakeEngine):
    """Counts what it does; the requests in ``stops`` are stopped, those in ``bugs`` meet a bug."""

    def __init__(self) -> None:
        super().__init__()
        self.requests = self.loads = 0
        self.stops: set[int] = set()
        self.bugs: set[int] = set()

    def run(self, request) -> None:
        self.requests += 1
        if self.requests in self.stops:
            raise Cancelled("Stopped on request.")
        if self.requests in self.bugs:
            raise ZeroDivisionError("nothing can be divided by it")
        super().run(request)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Counting:
    engine = Counting()

    def load(model=None, **options) -> Counting:
        engine.loads += 1
        return engine

    monkeypatch.setattr(api, "load_engine", load)
    return engine


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    for index in range(3):
        write_video(folder / f"{index}.mp4", pictures(4 + index))
    return folder


def rows(folder: Path) -> dict[str, dict[str, object]]:
    document = json.loads((folder / "redetail-batch.json").read_text())
    listed = list(csv.DictReader(io.StringIO((folder / "redetail-batch.csv").read_text())))
    assert [row["state"] for row in listed] == [clip["state"] for clip in document["clips"]]
    return {Path(clip["source"]).name: clip for clip in document["clips"]}


def states(folder: Path) -> list[object]:
    return [row["state"] for row in rows(folder).values()]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("redetail-batch"))


def test_a_folder_is_done_with_one_engine_and_passed_over_the_next_time(run, engine, clips: Path, tmp_path) -> None:
    done = run("batch", clips, "-o", tmp_path / "out", *BOX)
    assert (done.code, engine.loads, engine.requests) == (0, 1, 3)
    assert names(tmp_path / "out") == ["0.mp4", "1.mp4", "2.mp4"]
    assert states(tmp_path / "out") == ["done"] * 3
    assert rows(tmp_path / "out")["2.mp4"]["frames"] == 6
    assert "[3/3] 2.mp4: done, 1 subject, 6 frames in" in done.err
    assert done.out.startswith("3 clips\n  done: 3\n  summary: ")
    whole = tmp_path / "alone.mp4"
    assert run("detail", clips / "1.mp4", "-o", whole, *BOX).code == 0
    assert whole.read_bytes() == (tmp_path / "out" / "1.mp4").read_bytes()

    again = run("batch", clips, "-o", tmp_path / "out", *BOX)
    assert (again.code, engine.loads) == (0, 2)  # the second is that of `detail`
    assert states(tmp_path / "out") == ["done before"] * 3
    assert run("batch", clips, "-o", tmp_path / "out", *BOX, "--overwrite").code == 0
    assert states(tmp_path / "out") == ["done"] * 3


def test_a_batch_that_is_refused_leaves_no_folder(run, clips: Path, tmp_path: Path) -> None:
    for more in (("--steps", "0"), ("--checkpoint", tmp_path / "nowhere.safetensors")):
        assert run("batch", clips, "-o", tmp_path / "new" / "out", *BOX, *more).code == 2
        assert not (tmp_path / "new").exists()


def test_a_clip_that_fails_is_reported_and_the_rest_go_on(run, engine, clips: Path, tmp_path: Path) -> None:
    (clips / "0.mp4").write_bytes(b"not a video")
    engine.bugs = {2}
    done = run("batch", clips, "-o", tmp_path / "out", *BOX)
    assert done.code == 3
    assert states(tmp_path / "out") == ["failed", "done", "failed"]
    assert names(tmp_path / "out") == ["1.mp4"]
    assert "This is a bug in redetail" in rows(tmp_path / "out")["2.mp4"]["message"]
    assert f"    {clips / '0.mp4'}: " in done.out
    assert run("batch", clips, "-o", tmp_path / "out", *BOX).code == 3  # the broken one is still broken
    assert states(tmp_path / "out") == ["failed", "done before", "done"]


def test_clips_in_which_nobody_was_found_are_listed(run, engine, clips: Path, tmp_path: Path) -> None:
    done = run("batch", clips / "0.mp4", "-o", tmp_path / "out")
    assert done.code == 0
    assert states(tmp_path / "out") == ["no subject found"]
    assert f"  no subject found: 1\n    {clips / '0.mp4'}\n" in done.out


def test_a_batch_that_is_stopped_goes_on(run, engine, clips: Path, tmp_path: Path) -> None:
    two = ("--box", "8,8,40,40", *BOX)
    engine.stops = {4}  # the second subject of the second clip
    stopped = run("batch", clips, "-o", tmp_path / "out", *two)
    assert stopped.code == 130
    assert states(tmp_path / "out") == ["done", "waiting", "waiting"]
    done = run("batch", clips, "-o", tmp_path / "out", *two)
    assert done.code == 0
    assert states(tmp_path / "out") == ["done before", "done", "done"]
    assert engine.requests == 4 + 1 + 2  # what was finished is not computed again
    assert names(tmp_path / "out") == ["0.mp4", "1.mp4", "2.mp4"]


def test_a_job_is_for_all_clips_and_its_own_files_are_not(run, engine, clips: Path, tmp_path: Path) -> None:
    job = tmp_path / "job.toml"
    job.write_text(
        'source = "nowhere.mp4"\noutput = "nowhere.out.mp4"\nreport = "r.json"\nbox = [[20, 20, 60, 60]]\n'
        "[settings]\nsteps = 2\n"
    )
    assert run("batch", clips, "-o", tmp_path / "out", "--job", job, "--name", "{number}.mkv", "-q").code == 0
    assert names(tmp_path / "out") == ["1.mkv", "2.mkv", "3.mkv"]
    assert names(tmp_path) == ["clips", "job.toml", "out"]


def test_what_no_clip_could_do_is_refused_at_once(run, engine, clips: Path, tmp_path: Path) -> None:
    assert run("batch", clips, "-o", tmp_path / "out", *BOX, "--denoise", "7").code == 2
    assert run("batch", clips, "-o", clips / "0.mp4", *BOX).code == 2
    assert run("batch", tmp_path / "*.mov", "-o", tmp_path / "out").code == 2
    assert engine.loads == 0


def test_lines_come_now_and_then() -> None:
    now, stream = 0.0, io.StringIO()
    clips = [BatchClip(Path("a.mp4"), Path("out/a.mp4")), BatchClip(Path("b.mp4"), Path("out/b.mp4"))]
    lines = BatchLines(clips, stream, lambda: now)
    lines.start(clips[1], "host:7")
    lines.advance(clips[1], Progress("detail", 1, 4))
    now = 16.0
    lines.advance(clips[1], Progress("detail", 2, 4))
    lines.advance(clips[1], Progress("detail", 3, 4))
    lines.finish(Outcome(clip=clips[1], state=State.FAILED, message="It is broken."))
    assert stream.getvalue() == "[2/2] b.mp4: Detailing 50% (host:7)\n[2/2] b.mp4: failed: It is broken.\n"


def test_the_table_shows_clips_in_work_and_what_is_around_the_last() -> None:
    from rich.console import Console
    from rich.live import Live

    stream = io.StringIO()
    console = Console(file=stream, width=80, height=10)
    clips = [BatchClip(Path(f"{index}.mp4"), Path(f"out/{index}.mp4")) for index in range(20)]
    live = Live(console=console, auto_refresh=False)
    table = BatchTable(clips, live)
    for clip in (*clips[:2], *clips[3:11]):
        table.start(clip, "")
        table.finish(Outcome(clip=clip, state=State.DONE, frames=9, subjects=1, seconds=2))
    table.start(clips[2], "host:7")
    table.start(clips[11], "host:8")
    table.advance(clips[11], Progress("write", 1, 2))
    console.print(live.renderable)
    shown = stream.getvalue()
    assert "10 of 20 clips" in shown
    assert "2.mp4  │ starting (host:7)" in shown
    assert "Writing 50% (host:8)" in shown
    assert "done, 1 subject, 9 frames in 2.0 s" in shown
    assert "19.mp4" not in shown


def test_the_summary_names_what_needs_a_look() -> None:
    clip = BatchClip(Path("a.mp4"), Path("out/a.mp4"))
    told = batch_summary([Outcome(clip=clip, state=State.DAMAGED)], [Path("s.json")])
    assert told == "1 clips\n  done, source damaged: 1\n    a.mp4\n  summary: s.json\n"
