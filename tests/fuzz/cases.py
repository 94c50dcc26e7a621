"""What the campaign tries with ``redetail detail`` and the library: clips, documents, weights, names, surroundings."""

from __future__ import annotations

import copy
import json
import os
import resource
import shutil
import signal
import struct
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import redetail
from redetail import api
from redetail.cli import main as entry
from redetail.engines import FakeEngine, load_engine
from redetail.selection.detected import Detections
from tests.fuzz import media
from tests.fuzz.harness import Case, Rng, library

SOURCES = Path(tempfile.gettempdir()) / f"redetail-fuzz-{os.getpid()}"
BOX = ("--box", "16,12,48,36")
SMALL = ("--guide-size", "32", "--max-size", "64", "--steps", "1")


def prepare() -> None:
    """Make the sound clips that all cases start from, before the first fork."""
    SOURCES.mkdir(exist_ok=True)
    for name in media.CONTAINERS:
        media.original(name, SOURCES)
    bundled = Path(redetail.__file__).parent / "bundled" / "restoration"
    (SOURCES / "card").mkdir(exist_ok=True)
    for path in bundled.iterdir():
        if path.is_file() and path.suffix == ".json":
            shutil.copyfile(path, SOURCES / "card" / path.name)


def clean_up() -> None:
    """Remove what :func:`prepare` made."""
    shutil.rmtree(SOURCES, ignore_errors=True)


def command(*arguments: object, fake: bool = True, case: Callable[[], Case] | None = None) -> int:
    """The exit code of the command line; its engine is a formula unless weights are the subject."""
    api.load_engine = (lambda model=None, **_: FakeEngine()) if fake else load_engine  # type: ignore[assignment]
    build = entry.build_parser
    if case is not None:
        entry.build_parser = lambda: (case().ready(), build())[1]  # type: ignore[assignment,func-returns-value]
    sys.argv = ["redetail", *(os.fspath(one) if isinstance(one, Path) else str(one) for one in arguments)]
    return entry.main()


def ran(*arguments: object, fake: bool = True, **fields: Any) -> Case:
    """A case that runs the command line."""
    shown = " ".join(ascii(str(one))[1:-1][:80] for one in arguments)
    return Case(lambda: command(*arguments, fake=fake), description=shown, **fields)


def clip(folder: Path, name: str = "a.mp4") -> Path:
    """A sound clip in the folder of a case."""
    path = folder / name
    path.write_bytes(media.original(name, SOURCES))
    return path


def one_of(rng: Rng, values: Any) -> Any:
    """One of several values."""
    return values[int(rng.integers(len(values)))]


# Containers


def damaged_clip(rng: Rng, folder: Path) -> Case:
    """A clip of some container with some damage."""
    name = one_of(rng, tuple(media.CONTAINERS))
    whole = media.original(name, SOURCES)
    path = folder / f"in{Path(name).suffix}"
    damage = "sound"
    if rng.random() < 0.15:
        with suppress(Exception):  # not every container can be written again
            media.without_packets(SOURCES / name, path, rng)
            damage = "without packets"
    if not path.exists() or not path.stat().st_size:
        for _ in range(int(rng.integers(1, 3))):
            chosen = one_of(rng, media.DAMAGES)
            whole, damage = chosen(whole, rng) or b"\0", f"{damage}, {chosen.__name__}"
        path.write_bytes(whole)
    output = one_of(rng, ("out.mp4", "out.mkv", "out.mov"))
    if rng.random() < 0.1:
        return ran("detect", path, *BOX, "--report", "found.json", written=("found.json", "found.png"))
    case = ran("detail", path, "-o", output, *BOX, *SMALL, written=(output,), source=path)
    case.description += f" ({name}: {damage})"
    return case


def renamed_clip(rng: Rng, folder: Path) -> Case:
    """A clip under the suffix of another kind of file."""
    name = one_of(rng, tuple(media.CONTAINERS))
    suffix = one_of(
        rng, (".mp4", ".png", ".jpg", ".json", ".m3u8", ".txt", ".gif", ".webp", "", ".safetensors", ".y4m")
    )
    path = folder / f"in{suffix}"
    path.write_bytes(media.original(name, SOURCES))
    output = "out" + one_of(rng, (".mp4", ".mkv", ".webm", ".gif", ".webp", ".mov", ".avi", "", ".png", ".xyz"))
    return ran("detail", path, "-o", output, *BOX, *SMALL, written=(output,), source=path)


def image_folder(rng: Rng, folder: Path) -> Case:
    """A folder of pictures, one of which is damaged, of another size or kind, or missing."""
    frames = folder / "frames"
    frames.mkdir()
    for number, pixels in enumerate(media.pictures()):
        cv2.imwrite(str(frames / f"{number:03}.png"), pixels)
    chosen = frames / f"{int(rng.integers(media.FRAMES)):03}.png"
    match int(rng.integers(7)):
        case 0:
            chosen.unlink()
        case 1:
            cv2.imwrite(str(chosen), np.zeros((9, 9, 3), np.uint8))
        case 2:
            cv2.imwrite(str(chosen), np.zeros((48, 64), np.uint16))
        case 3:
            chosen.write_bytes(b"")
        case 4:
            (frames / "notes.txt").write_text("x")
            (frames / "more").mkdir()
        case 5:
            chosen.unlink()
            chosen.symlink_to(one_of(rng, ("/dev/zero", "nowhere.png", chosen.name)))
        case _:
            chosen.write_bytes(one_of(rng, media.DAMAGES)(chosen.read_bytes(), rng))
    output = one_of(rng, ("out", "out.mp4"))
    return ran("detail", frames, "-o", output, *BOX, *SMALL, written=(output,))


# Documents

DEEP: Any = [0]
for _ in range(200):
    DEEP = [DEEP]
HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 10**39, -(10**39), 1e308, -1e308, float("nan"), float("inf"), 1e-320, 0.5, "",
    "x", "0",
    "nan", "1e-99999999", "9" * 300, "\ud800", "\0", "../..", "/dev/zero", "a.mp4", "~nobody/x", "\x1b[31mred",
    "x" * 900,
    [], {}, [[]], [{}], {"": ""}, [1, 2, 3, 4], [1, 2], ["a"], [None], {"x": 1}, DEEP, [[0, 0, 1e9, 1e9]], [0.5] * 1000,
)  # fmt: skip


def hostile(rng: Rng) -> Any:
    """A value that hardly any key may have; a copy, since documents that hold it are changed further."""
    return copy.deepcopy(one_of(rng, HOSTILE))


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a document."""
    found: list[tuple[Any, Any]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        found += [(value, key), *places(inner)]
    return found


def spoiled(document: Any, rng: Rng) -> Any:
    """A document with one or several values that are others, missing or too many."""
    document = json.loads(json.dumps(document))
    for _ in range(int(rng.integers(1, 4))):
        found = places(document)
        if not found:
            return hostile(rng)
        holder, key = one_of(rng, found)
        match int(rng.integers(6)):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[one_of(rng, ("", "x", str(key) + "s", str(key).upper(), "__class__"))] = hostile(rng)
            case 2 if isinstance(holder, list):
                holder.extend(copy.deepcopy(holder[key]) for _ in range(int(rng.integers(1, 5))))
            case _:
                holder[key] = hostile(rng)
    return document if rng.random() > 0.03 else hostile(rng)


def written_json(path: Path, document: Any, rng: Rng) -> None:
    """The document as text, now and then with damaged bytes."""
    data = json.dumps(document).encode("utf-8", "surrogatepass")
    path.write_bytes(one_of(rng, media.DAMAGES)(data, rng) if data and rng.random() < 0.2 else data)


SEG = {"crop_region": [8, 6, 56, 42], "bbox": [16, 12, 48, 36], "label": "face", "confidence": 0.9}
SEGS = {"size": [64, 48], "segs": [SEG, SEG | {"mask": [[0, 1], [1, 0.5]]}]}
JOB = {
    "job_version": 1,
    "source": "a.mp4",
    "output": "out.mp4",
    "box": [[16, 12, 48, 36]],
    "start": "0",
    "end": "8f",
    "settings": {"steps": 2, "denoise": 0.5, "seed": 3, "guide_size": 32, "max_size": 64, "prompt": "sharpen"},
    "subject": [{"track": 1, "denoise": 0.2}],
    "encode": {"quality": 20, "codec": "h264"},
    "memory": {"dtype": "float32"},
}


def segments(rng: Rng, folder: Path) -> Case:
    """A document of segments with values that cannot be."""
    path = clip(folder)
    written_json(folder / "segs.json", spoiled(SEGS, rng), rng)
    return ran("detail", path, "-o", "out.mp4", "--segs", "segs.json", *SMALL, written=("out.mp4",), source=path)


def job(rng: Rng, folder: Path) -> Case:
    """A job with values that cannot be, as JSON, or as TOML with damaged bytes."""
    clip(folder)
    allowed = tuple({"out.mp4"})
    if rng.random() < 0.7:
        document = spoiled(JOB, rng)
        written_json(folder / "job.json", document, rng)
        name = "job.json"
        output = document.get("output") if isinstance(document, dict) else None
        allowed = (*allowed, *([output] if isinstance(output, str) and output else []))
    else:
        name = "job.toml"
        text = 'source = "a.mp4"\nbox = [16, 12, 48, 36]\nstart = "0"\n'
        text += '[settings]\nsteps = 1\nguide_size = 32\nmax_size = 64\nprompt = "sharpen"\n'
        (folder / name).write_bytes(one_of(rng, media.DAMAGES)(text.encode(), rng))
    more = one_of(rng, ((), ("--dry-run",), ("--save-job", "again.toml")))
    return ran("detail", "--job", name, "-o", "out.mp4", *more, written=(*allowed, "again.toml"))


def mask(rng: Rng, folder: Path) -> Case:
    """A mask picture of another kind, or damaged."""
    path = clip(folder)
    pixels = np.zeros((48, 64), np.uint8)
    pixels[12:36, 16:48] = 255
    kinds: tuple[Any, ...] = (
        pixels,
        pixels.astype(np.uint16) * 257,
        np.dstack([pixels] * 3),
        np.dstack([pixels] * 4),
        np.dstack([pixels * 0] * 3 + [pixels]),
        pixels * 0,
        pixels[:10],
        pixels // 255,
    )
    name = "mask" + one_of(rng, (".png", ".png", ".tiff", ".bmp", ".jpg", ".webp"))
    picture = one_of(rng, kinds)
    depth = (
        picture
        if name.endswith((".png", ".tiff"))
        else (picture >> 8).astype(np.uint8)
        if picture.dtype == np.uint16
        else picture
    )
    cv2.imwrite(str(folder / name), depth)
    if rng.random() < 0.5:
        (folder / name).write_bytes(one_of(rng, media.DAMAGES)((folder / name).read_bytes(), rng) or b"\0")
    return ran("detail", path, "-o", "out.mp4", "--mask", name, *SMALL, written=("out.mp4",), source=path)


# Weights


def safetensors(rng: Rng, folder: Path) -> Case:
    """A safetensors file whose header or length is not what it should be."""
    names = one_of(
        rng,
        (
            ("model.diffusion_model.input_blocks.0.0.weight", "cond_stage_model.transformer.text_model.x"),
            ("lora_unet_down_blocks_0.lora_down.weight", "lora_unet_down_blocks_0.lora_up.weight"),
            ("down_blocks.0.motion_modules.0.temporal_transformer.norm.weight",),
            ("control_model.input_blocks.0.0.weight",),
            ("first_stage_model.encoder.conv_in.weight", "decoder.conv_in.weight"),
            ("emb_params",),
            ("x",),
        ),
    )
    header: dict[str, Any] = {}
    for number, name in enumerate(names):
        header[name] = {"dtype": "F32", "shape": [2, 2], "data_offsets": [16 * number, 16 * number + 16]}
    if rng.random() < 0.7:
        header = spoiled(header, rng)
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    length = len(text) if rng.random() < 0.8 else one_of(rng, (0, 1, len(text) * 2, 2**40, 2**63, 2**64 - 1))
    data = struct.pack("<Q", length) + text + bytes(16 * len(names))
    if rng.random() < 0.4:
        data = one_of(rng, media.DAMAGES)(data, rng)
    (folder / "model.safetensors").write_bytes(data)
    return weight_case(rng, folder, "model.safetensors")


def pickled(rng: Rng, folder: Path) -> Case:
    """A checkpoint of torch, damaged, or not one at all."""
    import torch

    path = folder / one_of(rng, ("model.ckpt", "model.pt", "model.bin", "model.pth"))
    content = one_of(
        rng,
        (
            {"state_dict": {"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(2, 2)}},
            {"x": torch.zeros(3)},
            [1, 2],
            {"string_to_param": {"*": torch.zeros(1, 768)}},
            {},
        ),
    )
    match int(rng.integers(4)):
        case 0:
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("archive/data.pkl", bytes(2**22))
                archive.writestr("archive/version", "3")
        case 1:
            path.write_bytes(b"\x80\x02cos\nsystem\nX\x09\x00\x00\x00touch badq\x00\x85q\x01Rq\x02.")
        case _:
            torch.save(content, path, _use_new_zipfile_serialization=bool(rng.random() < 0.7))
            if rng.random() < 0.8:
                path.write_bytes(one_of(rng, media.DAMAGES)(path.read_bytes(), rng) or b"\0")
    return weight_case(rng, folder, path.name)


def weight_case(rng: Rng, folder: Path, name: str) -> Case:
    """A run that reads a file of weights in one of the places for them."""
    if rng.random() < 0.4:
        return ran("models", "inspect", name, fake=False)
    path = clip(folder)
    option = one_of(rng, ("--checkpoint", "--motion-module", "--lora", "--vae", "--embedding", "--controlnet"))
    return ran("detail", path, "-o", "out.mp4", *BOX, *SMALL, option, name, fake=False, written=("out.mp4",))


def model_folder(rng: Rng, folder: Path) -> Case:
    """A model folder whose configuration holds what it should not."""
    model = folder / "model"
    if rng.random() < 0.5:
        shutil.copytree(SOURCES / "card", model)
        bundled = Path(redetail.__file__).parent / "bundled" / "restoration"
        for path in bundled.iterdir():
            if path.is_file() and path.suffix != ".json":
                (model / path.name).symlink_to(path)
        chosen = one_of(rng, sorted(model.glob("*.json")))
        written_json(chosen, spoiled(json.loads(chosen.read_text()), rng), rng)
    else:
        index = {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"],
                 "vae": ["diffusers", "AutoencoderKL"], "text_encoder": ["transformers", "CLIPTextModel"],
                 "tokenizer": ["transformers", "CLIPTokenizer"], "scheduler": ["diffusers", "DDIMScheduler"],
                 }  # fmt: skip
        unet = {"_class_name": "UNet2DConditionModel", "sample_size": 8, "in_channels": 4, "out_channels": 4,
                "block_out_channels": [32, 64], "cross_attention_dim": 32, "attention_head_dim": 8,
                "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
                "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"]}  # fmt: skip
        for part in ("unet", "vae", "text_encoder", "tokenizer", "scheduler"):
            (model / part).mkdir(parents=True)
        written_json(model / "model_index.json", spoiled(index, rng) if rng.random() < 0.5 else index, rng)
        written_json(model / "unet" / "config.json", spoiled(unet, rng), rng)
        empty = b"{}"
        (model / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(struct.pack("<Q", len(empty)) + empty)
    path = clip(folder)
    arguments = ("models", "inspect", "model") if rng.random() < 0.3 else (
        "detail", path, "-o", "out.mp4", *BOX, *SMALL, "--end", "2f",
        "--checkpoint", "model",
    )  # fmt: skip
    return ran(*arguments, fake=False, written=("out.mp4",))


# Names

NAMES = (
    "", " ", ".", "..", "-", "--", "~", "~nobody", "~nobody/x.mp4", "a\0b.mp4", "\udcff\udcfe.mp4", "\ud800.mp4",
    "x" * 250 + ".mp4",
    "😀" * 60 + ".mp4", "漢" * 80 + ".mp4", "漢" * 90 + ".mp4", "a\nb.mp4", "\x1b[31mred.mp4", "\x07.mp4", "%03d.png",
    "a%s%n.mp4",
    "loop/x.mp4", "loop", "folder", "folder/", "folder/x.mp4", "file/x.mp4", "/dev/null", "/dev/full", "/dev/zero",
    "/proc/self/mem",
    "fifo.mp4", "fifo.png", "readonly/x.mp4", "nowhere/x.mp4", "con.mp4", "a:b.mp4", "*.mp4", "a.mp4/", "a.mp4",
    "./a.mp4", "link.mp4",
    "dangling.mp4", "http://localhost:9/x.mp4", "pipe:0", "concat:a.mp4|a.mp4", "file:a.mp4", "x.m3u8",
    "x.mp4\u202e", "x.MP4", ".mp4",
    "x.json", "x.toml", "x.png", "x" * 5000, "a/" * 2000 + "x.mp4",
)  # fmt: skip
OPTIONS = (
    "input", "-o", "--report", "--compare", "--mask", "--segs", "--save-job", "--save-hints", "--job",
    "--checkpoint", "--lora",
    "--vae", "detect --draw", "detect --report", "evaluate", "clean", "inspect", "--device", "--prompt", "--start",
)  # fmt: skip


def name(rng: Rng, folder: Path) -> Case:
    """A name that is hard to handle, wherever a name can be given."""
    path = clip(folder)
    (folder / "loop").symlink_to("loop")
    (folder / "folder").mkdir()
    (folder / "file").write_text("x")
    (folder / "link.mp4").symlink_to("a.mp4")
    (folder / "dangling.mp4").symlink_to("target.mp4")
    (folder / "readonly").mkdir(mode=0o555)
    for pipe in ("fifo.png",):
        os.mkfifo(folder / pipe)
    chosen, where = one_of(rng, NAMES), one_of(rng, OPTIONS)

    beside = ("out.mp4", "found.json", "target.mp4", "readonly", "a.detect.json", "a.detect.png")
    own = (f"{Path(chosen).stem}{end}" for end in (".png", ".detect.json", ".detect.png"))
    allowed = (chosen.split("/")[0], chosen, f"{chosen}.json", *beside, *own)
    usual = ("detail", path, "-o", "out.mp4", *BOX)
    arguments: tuple[object, ...]
    match where:
        case "input":
            arguments = ("detail", chosen, "-o", "out.mp4", *BOX)
        case "-o":
            arguments = ("detail", path, f"-o{chosen}", *BOX)
        case "detect --draw" | "detect --report":
            arguments = ("detect", path, *BOX, f"{where.split()[1]}={chosen}")
        case "evaluate":
            arguments = ("evaluate", path, chosen, *BOX)
        case "clean" | "inspect":
            arguments = ("clean", chosen) if where == "clean" else ("models", "inspect", chosen)
        case "--mask" | "--segs":
            arguments = ("detail", path, "-o", "out.mp4", f"{where}={chosen}")
        case "--job":
            arguments = ("detail", "-o", "out.mp4", f"--job={chosen}")
        case _:
            arguments = (*usual, f"{where}={chosen}")
    fake = where not in ("--checkpoint", "--lora", "--vae", "--device")
    more = SMALL if arguments[0] == "detail" else ()
    return ran(*arguments, *more, fake=fake, written=tuple(one for one in allowed if one))


# Environment


def environment(rng: Rng, folder: Path) -> Case:
    """Surroundings that are not as usual."""
    path = clip(folder)
    variables = {
        "TMPDIR": ("", "nowhere", "a.mp4", "/dev/null", "/proc", "x" * 300, "\udcff"),
        "HOME": ("", "nowhere", "/dev/null"),
        "COLUMNS": ("0", "-1", "x", "99999999999"),
        "LC_ALL": ("C", "xx_YY.latin1", ""),
        "PYTHONWARNINGS": ("error", "nonsense"),
        "TERM": ("", "dumb", "x"),
        "HF_HOME": ("/dev/null", "nowhere"),
        "OMP_NUM_THREADS": ("0", "x", "-1"),
        "TZ": ("nowhere/nothing",),
        "XDG_CACHE_HOME": ("/dev/null",),
        "SOURCE_DATE_EPOCH": ("x",),
        "FORCE_COLOR": ("1",),
    }
    chosen = one_of(rng, (*variables, *variables, "closed", "closed", "no folder", "few files", "umask"))
    descriptors = [number for number in (0, 1, 2) if rng.random() < 0.5]
    value = one_of(rng, variables.get(chosen, ("",)))

    def act() -> int:
        if chosen == "closed":
            for descriptor in descriptors:
                os.close(descriptor)
        elif chosen == "no folder":
            gone = folder / "gone"
            gone.mkdir()
            os.chdir(gone)
            gone.rmdir()
        elif chosen == "few files":
            resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        elif chosen == "umask":
            os.umask(0o777)
        else:
            os.environ[chosen] = value
            tempfile.tempdir = None
        return command("detail", path, "-o", folder / "out.mp4", *BOX, *SMALL)

    return Case(act, ("out.mp4",), path, description=f"{chosen} {value!a} {descriptors}")


# Signals


def stopped(rng: Rng, folder: Path) -> Case:
    """A signal, or several, at some moment."""
    path = clip(folder, one_of(rng, ("a.mp4", "a.mkv", "ffv1.mkv")))
    numbers = one_of(
        rng,
        (
            (signal.SIGINT,),
            (signal.SIGTERM,),
            (signal.SIGHUP,),
            (signal.SIGINT, signal.SIGINT),
            (signal.SIGTERM, signal.SIGINT),
        ),
    )
    output = one_of(rng, ("out.mp4", "frames"))
    arguments = ["detail", path, "-o", output, *BOX, *SMALL, "--compare", "both.mp4", "--report", "report.json"]
    if rng.random() < 0.15:
        os.mkfifo(folder / "job.toml")
        arguments = ["detail", "--job", "job.toml", "-o", output]
    case = Case(
        lambda: 0, (output, "both.mp4", "report.json"), None, tuple(map(int, numbers)), float(rng.uniform(0, 0.5))
    )
    case.act = lambda: command(*arguments, case=lambda: case)
    case.description = f"{[one.name for one in numbers]} after {case.at:.3f} s"
    return case


# Full disk


def full_disk(rng: Rng, folder: Path) -> Case:
    """No file may become larger than some bytes, as where the disk is full."""
    path = clip(folder)
    limit = int(2 ** rng.uniform(0, 15))
    more = one_of(rng, ((), ("--report", "report.json"), ("--compare", "both.mp4"), ("--save-job", "job.toml")))
    output = one_of(rng, ("out.mp4", "out.mkv", "frames", "out.gif"))

    def act() -> int:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        return command("detail", path, "-o", output, *BOX, *SMALL, *more)

    return Case(
        act, (output, "report.json", "both.mp4", "job.toml"), path, description=f"{limit} bytes, {output} {more}"
    )


# Library


class Strange:
    """An object of a caller's own whose every operation fails."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __iter__(self) -> Iterator[Any]:
        raise RuntimeError("iter")

    def __repr__(self) -> str:
        return "Strange()"


def values() -> tuple[Any, ...]:
    """What a caller could give by mistake."""
    import torch

    pixels = np.zeros((media.FRAMES, 48, 64, 3), np.uint8)
    return (
        *(one for one in HOSTILE if one is not DEEP), b"x", object(), Path(), Path("nowhere"), len, iter([1]), set(),
        (), ((),),
        np.float32(0.5), np.int64(3), np.array(0), np.zeros(0), np.zeros((48, 64)), np.ones((48, 64), np.uint8),
        np.ones((1, 1, 48, 64)),
        np.ones((media.FRAMES, 48, 64), bool), np.full((48, 64), np.nan), np.ones((48, 64, 3)), np.zeros((9, 9)),
        pixels, pixels[:0],
        pixels.astype(np.float32), pixels.astype(np.float64) + 7, pixels.astype(object), pixels[..., :1],
        np.array(["a", "b"]),
        torch.zeros(48, 64), torch.ones(1, 48, 64), 1 + 2j, range(3), bytearray(4), memoryview(b"abcd"), Strange(),
        type, Ellipsis,
        [[0.0] * 64] * 48, {"size": [64, 48], "segs": []}, SEGS, [(16, 12, 48, 36)], redetail.Box(1, 2, 30, 40),
        redetail.Settings(),
        redetail.Job(), [redetail.Box(-9, -9, 900, 900)], slice(3),
    )  # fmt: skip


OPTION_NAMES = (
    "detect", "box", "mask", "segs", "start", "end", "model", "device", "memory", "subjects", "compare", "report",
    "save_hints",
    "encode", "strict", "preset", "steps", "cfg", "denoise", "seed", "sampler", "scheduler", "prompt",
    "negative_prompt", "guide_size",
    "max_size", "crop_factor", "feather", "paste_feather", "loras", "context_length", "context_overlap", "unknown",
)  # fmt: skip


def pixels_of(folder: Path) -> np.ndarray[Any, Any]:
    """A few frames in memory."""
    return np.stack(media.pictures()[:4])


def options(rng: Rng, folder: Path) -> Case:
    """detail, plan and compare with arguments of a wrong type."""
    chosen = {one_of(rng, OPTION_NAMES): one_of(rng, values()) for _ in range(int(rng.integers(1, 3)))}
    source = one_of(rng, values()) if rng.random() < 0.2 else pixels_of(folder)
    box: dict[str, Any] = {} if {"mask", "segs", "box", "detect"} & set(chosen) else {"box": (16, 12, 48, 36)}
    what = one_of(rng, ("detail", "detail", "plan", "Job"))
    engine = {} if what == "Job" else {"engine": one_of(rng, values()) if rng.random() < 0.1 else FakeEngine()}

    def act() -> int:
        if what == "Job":
            return library(lambda: redetail.Job().overlay(source=source, **box, **chosen).check())
        return library(lambda: getattr(redetail, what)(source, **engine, **box, **chosen))

    return Case(act, tuple(_names(chosen.values())), description=f"{what} {_short(chosen)} {_short(engine)}")


def _names(given: Any) -> Iterator[str]:
    for one in given:
        if isinstance(one, str | Path) and str(one) not in ("", "."):
            yield str(one).split("/")[0]


def _short(value: Any) -> str:
    return ascii(value)[:150]


def stages(rng: Rng, folder: Path) -> Case:
    """track, enhance, paste, compare and detect with wrong arguments and regions of another clip."""
    frames = pixels_of(folder)
    found = Detections(0, ((redetail.Detection(redetail.Box(16, 12, 48, 36), 0.9),),) * 4, frozenset())
    region = redetail.track(found, (64, 48))[0] if rng.random() < 0.5 else _region(rng)
    crops = np.zeros((len(region), 16, 16, 3), np.float32)
    given: dict[str, list[Any]] = {
        "track": [found, (64, 48)],
        "enhance": [frames, [region]],
        "paste": [frames, [region], [crops]],
        "compare": [frames, frames],
        "detect": [frames],
    }
    what = one_of(rng, tuple(given))
    arguments = given[what]
    if rng.random() < 0.8:
        arguments[int(rng.integers(len(arguments)))] = one_of(rng, values())
    named: dict[str, Any] = {"enhance": {"engine": FakeEngine()}, "compare": {"box": (16, 12, 48, 36)}}.get(what, {})
    extra = {
        "paste": "paste_feather",
        "track": "crop_factor",
        "detect": "detector",
        "enhance": "progress",
        "compare": "original",
    }[what]
    if rng.random() < 0.3:
        named[extra] = one_of(rng, values())

    def act() -> int:
        return library(lambda: getattr(redetail, what)(*arguments, **named))

    return Case(act, tuple(_names(arguments)), description=f"{what} {_short(arguments[-1])} {_short(named)}")


def _region(rng: Rng) -> redetail.Region:
    """A region that may lie outside the clip in space or time."""
    count, start = int(rng.integers(1, 9)), int(rng.integers(0, 9))
    side = int(2 ** rng.integers(0, 10))
    corner = rng.uniform(-200, 200, 2)
    path = np.tile(corner, (count, 1))
    boxes = np.tile([*corner, *(corner + rng.uniform(-5, 300, 2))], (count, 1))
    return redetail.Region("x", 0.5, start, redetail.Size(side, side), path, boxes)


class Wrong:
    """An engine of a caller's own that does not do what it should."""

    def __init__(self, how: int) -> None:
        self._how, self._engine = how, FakeEngine()

    @property
    def capabilities(self) -> Any:
        return self._engine.capabilities

    def run(self, request: Any) -> None:
        crops = request.crops.read(0, request.crops.frames).astype(np.float32)
        wrong: tuple[Callable[[], Any], ...] = (
            lambda: request.write(0, crops[:, :8]),
            lambda: request.write(0, crops[..., :1]),
            lambda: request.write(0, crops * np.nan),
            lambda: request.write(3, crops),
            lambda: request.write(0, crops.astype(np.float64)),
            lambda: request.write(0, (crops * 255).astype(np.uint8)),
            lambda: request.write(0, crops * 255),
            lambda: request.write(0, crops.tolist()),
            lambda: None,
            lambda: request.write(-1, crops),
            lambda: request.write(0, None),
            lambda: request.write(0, crops[:1]),
        )
        wrong[self._how]()


def engines(rng: Rng, folder: Path) -> Case:
    """Engines of a caller's own that go wrong."""
    how = int(rng.integers(12))
    return Case(
        lambda: library(lambda: redetail.detail(pixels_of(folder), box=(16, 12, 48, 36), engine=Wrong(how))),
        description=f"engine {how}",
    )
