"""Jobs in files: what they hold, what is refused, and that they come back."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redetail.engines.memory import Memory
from redetail.engines.spec import ControlFile, ModelSpec, WeightedFile
from redetail.errors import InputError, SettingsError
from redetail.job import Job, Subject, read_job, text_of, to_toml
from redetail.region import Box
from redetail.selection.boxes import BoxSelection
from redetail.settings import Settings
from redetail.video.options import EncodeOptions
from redetail.video.span import Span

WHOLE = """
source = "in.mp4"
output = "out/out.mp4"
box = [[40, 60, 180, 220], [1.5, 2, 30, 40]]
start = "0:02"
end = 3.5
device = "cpu"

[model]
checkpoint = "sd15.safetensors"
motion-module = "v3_sd15_mm.ckpt"
motion_loras = ["zoom.safetensors:0.8"]
loras = ["style.safetensors"]
embeddings = ["bad.pt"]

[[model.controls]]
file = "tile.pth"
strength = 0.5
end = 0.8
hint = "canny"

[memory]
dtype = "bfloat16"
offload = false

[settings]
preset = "lcm"
prompt = "a face"
guide-size = 384
lora = ["detail.safetensors:0.5"]

[encode]
quality = 10
preset = "fast"

[[subject]]
track = 1
prompt = "a man"
denoise = 0.3
loras = []

[[subject]]
track = "box"
skip = true
"""


def written(folder: Path, text: str, name: str = "job.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_everything_that_a_job_may_hold(tmp_path):
    assert read_job(written(tmp_path, WHOLE)) == Job(
        source=tmp_path / "in.mp4",
        output=tmp_path / "out" / "out.mp4",
        selection=(BoxSelection((Box(40, 60, 180, 220), Box(1.5, 2, 30, 40))),),
        span=Span("0:02", 3.5),
        device="cpu",
        model=ModelSpec(
            checkpoint=tmp_path / "sd15.safetensors",
            motion_module=tmp_path / "v3_sd15_mm.ckpt",
            motion_loras=(WeightedFile(tmp_path / "zoom.safetensors", 0.8),),
            loras=(WeightedFile(tmp_path / "style.safetensors"),),
            embeddings=(tmp_path / "bad.pt",),
            controls=(ControlFile(tmp_path / "tile.pth", 0.5, 0.0, 0.8, "canny"),),
        ),
        memory=Memory(dtype="bfloat16", offload=False),
        settings={
            "preset": "lcm",
            "prompt": "a face",
            "guide_size": 384,
            "loras": [str(tmp_path / "detail.safetensors:0.5")],
        },
        encode=EncodeOptions(quality=10, preset="fast"),
        subjects=(
            Subject(1, settings={"prompt": "a man", "denoise": 0.3, "loras": []}),
            Subject("box", skip=True),
        ),
    )


def test_one_box_and_a_hub_name(tmp_path):
    job = read_job(written(tmp_path, 'box = [1, 2, 3, 4]\nmodel.checkpoint = "owner/model"\n'))
    assert job == Job(selection=(BoxSelection((Box(1, 2, 3, 4),)),), model=ModelSpec(checkpoint="owner/model"))
    (tmp_path / "owner" / "model").mkdir(parents=True)
    job = read_job(written(tmp_path, 'model.checkpoint = "owner/model"\n'))
    assert job.model.checkpoint == tmp_path / "owner" / "model"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('sorce = "a"', "there is no key 'sorce' in the job; did you mean 'source'?"),
        ("[settings]\npromt = 'a'", "there is no key 'promt' in [settings]; did you mean 'prompt'?"),
        ("[model]\nmotion-modul = 'a'", "there is no key 'motion-modul' in [model]; did you mean 'motion_module'?"),
        ("[[subject]]\ntrack = 1\ndenoize = 1", "there is no key 'denoize' in [[subject]]; did you mean 'denoise'?"),
        ("[[model.controls]]\nfiel = 'a'", "there is no key 'fiel' in [[model.controls]]; did you mean 'file'?"),
        ("[memory]\nzzz = 1", "there is no key 'zzz' in [memory]; choose one of: dtype, vae_dtype, text_dtype, "),
        ("settings = 3", "[settings] must be a table, not 3."),
        ("source = 3", "source must be text, not 3."),
        ("box = [1, 2, 3]", "box must be four numbers x1, y1, x2, y2 for one box, or a list of boxes, not [1, 2, 3]."),
        ("start = true", "start must be a time in seconds or h:m:s, or a frame as in 120f, not True."),
        ("[model]\nloras = 'a'", "loras must be a list, not 'a'."),
        ("[settings]\nlora = 'a'", "loras must be a list, not 'a'."),
        (
            "box = [1, 2, 3, 'x']",
            "box must be four numbers x1, y1, x2, y2 for one box, or a list of boxes, not [1, 2, 3, 'x'].",
        ),
        ("box = []", "box must be four numbers x1, y1, x2, y2 for one box, or a list of boxes, not []."),
        ("steps = 3", "there is no key 'steps' in the job; it belongs to [settings]."),
        ("guide-size = 3", "there is no key 'guide-size' in the job; it belongs to [settings]."),
        ("[settings]\nvae_tile = 64", "there is no key 'vae_tile' in [settings]; it belongs to [memory]."),
        (
            "[[subject]]\ntrack = 1\ncheckpoint = 'a'",
            "there is no key 'checkpoint' in [[subject]]; it belongs to [model].",
        ),
        ("[settings]\noutput = 'a'", "there is no key 'output' in [settings]; it belongs to the top level of the job"),
        ("[settings]\nguide-size = 3\nguide_size = 4", "guide_size appears in [settings] twice, once as 'guide_size'"),
        ("[settings]\nlora = []\nloras = []", "loras appears in [settings] twice, once as 'loras'; keep one."),
        ("[memory]\ncompile = 'no'", "compile must be true or false, not 'no'."),
        ("[encode]\nlossless = 1", "lossless must be true or false, not 1."),
        ("[subject]\ntrack = 1", "each subject is a separate table; write [[subject]], not [subject]."),
        ("[[model.controls]]\nstrength = 1", "each [[model.controls]] table needs the key 'file'"),
        ("[[model.controls]]\nfile = 'a'\nstrength = nan", "The strength of "),
        ("[[model.controls]]\nfile = 'a'\nstrength = 'b'", "strength must be a number, not 'b'."),
        ("[[subject]]\nprompt = 'a'", "track in [[subject]] must be a number or a label, not None."),
        ("[[subject]]\ntrack = 1\nskip = 'yes'", "the value of skip for subject 1 must be true or false, not 'yes'."),
        ("[encode]\ncodec = 'mpeg1'", "There is no codec named 'mpeg1'; choose one of: "),
        ("job_version = 2", "the job has version 2, but this version of redetail reads version 1."),
        ("start = 3\nend = 2", "The end (2) must come after the start (3)."),
        ("job_version = 1\ndetect = 'face'\nbox = [1, 2, 3, 4]", "The settings detect and box were both given"),
        (
            "detect = 'unicorn'",
            "There is no detector named 'unicorn'; choose one of: face, turned-faces, hands, people.",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(tmp_path, text, sentence):
    path = written(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        read_job(path)
    assert str(caught.value).startswith(f"{path}: {sentence}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("job.toml", "a = ", "is not a TOML document"),
        ("job.json", "{", "is not a JSON document"),
        ("job.json", "[1]", r"must contain a JSON object, not \[1\]"),
        ("job.json", '{"report_version": 1, "job": null}', "is a report without a job"),
        ("job.json", '{"report_version": 1}', "is a report without a job"),
        ("job.json", '{"report_version": 2, "job": {}}', "is a version 2 report, but this version of redetail reads"),
    ],
)
def test_what_is_no_job(tmp_path, name, text, sentence):
    with pytest.raises(InputError, match=sentence):
        read_job(written(tmp_path, text, name))


def test_a_job_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"none\.toml cannot be read"):
        read_job(tmp_path / "none.toml")


@pytest.mark.parametrize("strength", [1e-7, 0.123456789, -0.5, 1e20])
def test_strengths_keep_every_digit(tmp_path, strength):
    spec = ModelSpec(loras=(WeightedFile(tmp_path / "a", strength),), controls=(ControlFile(tmp_path / "b", strength),))
    job = Job(source="in.mp4", model=spec, settings={"loras": [f"{tmp_path / 'c'}:{strength!r}"]})
    again = read_job(written(tmp_path, to_toml(job.to_document())))
    assert again.model == spec
    assert again.settings == job.settings


@pytest.mark.parametrize("form", ["json", "toml"])
def test_a_run_comes_back_from_its_document(tmp_path, monkeypatch, form):
    """Names are relative to the working folder there, and whole in the document."""
    monkeypatch.chdir(tmp_path)
    used = Settings(prompt="a face", loras=("detail.safetensors:0.5",), seed=2**64 - 1, cfg=1e-5)
    job = read_job(written(tmp_path, WHOLE)).as_run(used)
    document = job.overlay(source="in.mp4").to_document()
    text = json.dumps({"report_version": 1, "job": document}) if form == "json" else to_toml(document)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    again = read_job(written(elsewhere, text, f"again.{form}"))
    assert again == replace(job, source=tmp_path / "in.mp4", settings=again.settings)
    assert again.settings == {**used.as_dict(), "loras": (str(tmp_path / "detail.safetensors:0.5"),)}


def test_a_report_of_an_older_program_names_the_detector_beside_the_boxes(tmp_path):
    job = read_job(
        written(tmp_path, '{"report_version": 1, "job": {"detect": "face", "box": [[1, 2, 3, 4]]}}', "a.json")
    )
    assert job.selection == (BoxSelection((Box(1, 2, 3, 4),)),)


def test_a_name_that_is_not_utf_8_is_kept_by_json_and_refused_for_toml(tmp_path):
    """Names of files are bytes; Python shows those that are not UTF-8 as lone surrogates."""
    job = Job(source=tmp_path / "a\udcff.mp4", output=tmp_path / "out.mp4")
    text = text_of(job.to_document(), Path("job.json"))
    assert read_job(written(tmp_path, text, "job.json")) == job
    with pytest.raises(
        SettingsError, match=r"source is not valid UTF-8, which TOML requires; save the job as job\.json"
    ):
        text_of(job.to_document(), Path("job.toml"))


def test_the_suffix_decides_the_form(tmp_path):
    job = Job(source=tmp_path / "in.mp4", settings={"prompt": 'a\x7f\n"b\u2028ä'})
    for name in ("job.toml", "job.json", "job"):
        assert read_job(written(tmp_path, text_of(job.to_document(), Path(name)), name)) == job


VALUES = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",))),
    st.booleans(),
    st.integers(-(2**63), 2**64),
    st.floats(-1e9, 1e9),
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from("abc"), st.one_of(VALUES, st.lists(VALUES, max_size=3))))
def test_values_survive_toml(table):
    document = {**table, "t": {"inner": dict(table), "rows": [dict(table), {"x": 1}]}, "rows": [{"y": {"z": 2}}]}
    assert tomllib.loads(to_toml(document)) == document
