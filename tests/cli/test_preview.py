"""``redetail preview`` as a user types it."""

from pathlib import Path

import pytest
from PIL import Image

QUICK = ("--box", "20,20,60,60", "--guide-size", "64", "--max-size", "96", "--steps", "2")


def test_a_sheet_and_a_loop_of_every_variant(run, fake_engine, clip: Path) -> None:
    folder = clip.with_name("shown")
    ran = run("preview", clip, "-o", folder, *QUICK, "--vary", "denoise=0.2,0.8", "--vary", "color-match=on,off")
    assert ran.code == 0, ran.err
    assert f"{clip}: 4 moments, 4 variants" in ran.out
    assert "computed 100% of the frames of a whole run for each variant" in ran.out
    with Image.open(folder / "sheet.png") as sheet, Image.open(folder / "loop.webp") as loop:
        assert sheet.size[0] == 5 * 320 + 4 * 4
        assert loop.n_frames == 6


def test_names_of_files(run, fake_engine, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clip.parent)
    assert run("preview", clip, *QUICK).code == 0
    assert sorted(path.name for path in Path("clip.preview").iterdir()) == ["loop.webp", "sheet.png"]
    assert run("preview", clip, *QUICK).err.count("already exists; give another name") == 1
    ran = run("preview", clip, *QUICK, "-o", "one.png", "--loop", "two.mp4", "--moments", "1", "--nearest")
    assert ran.code == 0, ran.err
    with Image.open("one.png") as sheet:
        assert sheet.size[0] == 2 * 320 + 4
    assert Path("two.mp4").is_file()


def test_a_clip_without_a_face_says_so_and_writes_nothing(run, fake_engine, clip: Path) -> None:
    ran = run("preview", clip, "-o", clip.with_name("shown"))
    assert ran.code == 0
    assert "there is nothing to show" in ran.out
    assert "No face was found" in ran.err
    assert not clip.with_name("shown").exists()


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["--vary", "denose=0.3"], "There is no setting named 'denose'; did you mean 'denoise'? Choose one of: "),
        (["--vary", "denoise"], "--vary is 'denoise'; give NAME=VALUE,VALUE"),
        (["--vary", "denoise=0.3", "--vary", "denoise=0.5"], "Two --vary options name the same setting"),
        (["--vary", "denoise=a,b"], "denoise must be a number, not 'a'"),
        (
            ["--vary", "steps=1,2,3,4,5,6,7,8,9,10,11,12,13"],
            "13 values of steps make 13 variants; a preview shows",
        ),
        (["--moments", "99"], "moments is 99; give a whole number from 1 to 24."),
        (["-o", "out.mp4"], "The preview cannot be written to out.mp4; give a folder, or a name that ends in .png."),
    ],
)
def test_what_is_wrong_is_one_sentence(run, fake_engine, clip: Path, typed: list[str], message: str) -> None:
    ran = run("preview", clip, *QUICK, *typed)
    assert ran.code == 2
    assert message in ran.err
    assert ran.err.count("\n") == 1


def test_texts_with_commas_and_lists_of_files(run, fake_engine, clip: Path) -> None:
    ran = run(
        "preview", clip, "-o", clip.with_name("a.png"), *QUICK, "--vary", "prompt=a smile, soft light|a frown",
        "--moments", "1",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert "1 moment, 2 variants" in ran.out
