"""The config file: which keys it may have, and that job files win over it."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redetail.engines.memory import Memory
from redetail.engines.spec import ModelSpec
from redetail.errors import InputError, RedetailError, SettingsError
from redetail.job import Job, read_job
from redetail.job.config import read_config
from redetail.job.reading import check_config
from redetail.video.options import EncodeOptions

WHOLE = """
device = "cpu"
scale = 2
strict = true
compare-layout = "side"

[model]
checkpoint = "sd15.safetensors"
motion_module = "mm.ckpt"

[memory]
limit = "6GB"
offload = true

[settings]
preset = "quality"
guide-size = 384
negative = "blurry"

[encode]
codec = "h265"
quality = 10
"""


def written(folder: Path, text: str, name: str = "config.toml") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return folder / name


def test_a_config_file_is_a_job_without_a_clip(tmp_path: Path) -> None:
    path = written(tmp_path, WHOLE)
    job = read_config(path)
    assert job == Job(
        device="cpu",
        scale=2,
        strict=True,
        compare_layout="side",
        model=ModelSpec(checkpoint=tmp_path / "sd15.safetensors", motion_module=tmp_path / "mm.ckpt"),
        memory=Memory(limit="6GB", offload=True),
        settings={"preset": "quality", "guide_size": 384, "negative": "blurry"},
        encode=EncodeOptions(codec="h265", quality=10),
    )
    assert job.config_file == path


def test_what_a_job_leaves_out_is_that_of_the_config_file(tmp_path: Path) -> None:
    config = read_config(written(tmp_path / "config", WHOLE))
    text = "source = 'a.mp4'\nscale = 1\nstrict = false\n[memory]\noffload = false\n[settings]\nguide_size = 512\n"
    job = read_job(written(tmp_path / "jobs", text, "job.toml"), config)
    assert job == Job(
        source=tmp_path / "jobs" / "a.mp4",
        device="cpu",
        compare_layout="side",
        model=config.model,
        memory=Memory(limit="6GB", offload=False),
        settings={"preset": "quality", "guide_size": 512, "negative": "blurry"},
        encode=EncodeOptions(codec="h265", quality=10),
    )


def test_another_checkpoint_brings_its_own_files(tmp_path: Path) -> None:
    config = read_config(written(tmp_path / "config", WHOLE))
    jobs = tmp_path / "jobs"
    other = read_job(written(jobs, "[model]\ncheckpoint = 'other.ckpt'\n", "job.toml"), config)
    assert other.model == ModelSpec(checkpoint=jobs / "other.ckpt")
    same = read_job(written(jobs, "[model]\nvae = 'vae.ckpt'\n", "job.toml"), config)
    assert config.model is not None
    assert same.model == replace(config.model, vae=jobs / "vae.ckpt")


def test_a_preset_of_the_job_replaces_what_it_stands_for(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, "[settings]\nsteps = 30\nguide_size = 384\n"))
    job = read_job(written(tmp_path, "[settings]\npreset = 'lcm'\n", "job.toml"), config)
    assert dict(job.settings) == {"guide_size": 384, "preset": "lcm"}


def test_a_job_that_is_complete_takes_nothing(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, WHOLE))
    job = read_job(written(tmp_path, "source = 'a.mp4'\nconfig = false\n", "job.toml"), config)
    assert job == Job(source=tmp_path / "a.mp4", config=False)
    assert job.config_file is None


@pytest.mark.parametrize(
    "key",
    ["source", "output", "compare", "report", "save-hints", "box", "mask", "detect", "who", "only", "skip", "start",
     "end", "subject", "min_size", "config"],
)  # fmt: skip
def test_what_belongs_to_one_clip_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(SettingsError, match=rf"config.toml: {key} is specific to one clip .* or a job file\.$"):
        read_config(written(tmp_path, f"{key} = 1\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("devise = 'cpu'\n", "no key 'devise' in a config file; did you mean 'device'?"),
        ("steps = 3\n", r"no key 'steps' in a config file; it belongs to \[settings\]"),
        ("[settings]\ngide_size = 3\n", "no key 'gide_size' in \\[settings\\]; did you mean 'guide_size'?"),
        ("[settings]\nsteps = 'many'\n", "steps"),
        ("[settings]\nsteps = 0\n", "steps"),
        ("[settings]\npreset = 'qualty'\n", "quality"),
        ("[memory]\nlimit = 'much'\n", "give a size such as"),
        ("[encode]\ncodec = 'h268'\n", "h264"),
        ("strict = 'yes'\n", "strict must be true or false"),
        ("scale = 'two'\n", "scale must be a number"),
        ("settings = 3\n", "must be a table"),
        ("model = [1]\n", "must be a table"),
        ("job_version = 99\n", "version"),
    ],
)
def test_mistakes_name_the_file_the_key_and_what_to_do(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as raised:
        read_config(written(tmp_path, text))
    assert str(raised.value).startswith(f"{tmp_path / 'config.toml'}: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe", b"a = [" + b"[" * 5000, b"device = ", b"x" * (2**20 + 1), b"scale = " + b"9" * 500, b"\0", b"=",
     b"[[settings]]"],
)  # fmt: skip
def test_hostile_documents_are_refused_in_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.toml").write_bytes(content)
    with pytest.raises(RedetailError) as raised:
        read_config(tmp_path / "config.toml")
    assert "config.toml" in str(raised.value)
    assert len(str(raised.value)) < 1000


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.toml", Path("/dev/zero")):
        with pytest.raises(InputError, match="config file"):
            read_config(path)


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner))
)
def test_no_value_of_a_setting_is_a_bug(value: object) -> None:

    document = {"settings": {"steps": value}, "device": value} if value is not None else {}
    try:
        check_config(document)
        Job.from_document(document, Path("/")).check()
    except (RedetailError, TypeError):
        return
