"""What the campaign tries with other commands and files: every option, track, batch, detectors, work, the page."""

from __future__ import annotations

import argparse
import ctypes
import ctypes.util
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from redetail.cli.parser import build_parser
from tests.detection.onnx_writer import detector
from tests.fuzz import media
from tests.fuzz.cases import BOX, JOB, SMALL, SOURCES, clip, command, hostile, one_of, ran, spoiled, written_json
from tests.fuzz.harness import Case, Rng, library

TYPED = (
    "", " ", "0", "-1", "1", "2", "0.5", "nan", "inf", "-inf", "1e999", "9" * 300, "1e-99999999", "²", "\u0661\u0662",
    "true", "x", "a.mp4", "b.mp4", ".", "..", "/", "./a.mp4", "/dev/zero", "/dev/full", "fifo", "nowhere/x",
    "a.mp4/x", "loop", "folder", "folder/x.png", "text.txt", "text.txt:0.5", "\udcff", "\ud800", "x" * 300,
    "x" * 5000, "a,b", ",", ",,,", "1,2,3", "1,2,3,4", "16,12,48,36", "0,0,1e9,1e9", "16,12,48,36@",
    "16,12,48,36@6f", "16,12,48,36@0:00.5", "16,12,48,36@99", "16,12,48,36@-1", "16,12,16,36", "=", "a=",
    "=a", "@", "@text.txt", "@list.txt", "1:2:3", ":", "::", "0GB", "1B", "1KB", "20MB", "0.0000001GB",
    "999999999TB", "1e9GB", "6 GB", "-5GB", "6GiBB", "9" * 39 + "GB", "%s%n", "{}", "{stem",
    "{number:999999999}", "{stem.x}", "{0}", "{stem!r:>9}", "../x", "con", "a\nb", "\x1b[31m", "1/0",
    "12:99:99", "-0:05", "99999999999999999999f", "3f", "1f2", "0.5s", "face", "hands:0.5", "head", "json",
    "bash", "h264", "quality", "cpu", "cuda:99", "float16", "denoise=0.3,0.5", "denoise=", "denoise=nan",
    "steps=1|2|3", "prompt=\udcff", "seed=" + ",".join(map(str, range(40))), "seed=9" + "9" * 400,
    "preset=lcm,", "loras=x", "guide_size=16384", "scheduler=1,0.5,0", "denoise_by_size=30:1,120:0.3",
    "30:1,120:0.35", "120:1,30:0", "0: a; 3: b", "((((((", "(a:1e999)", "user:", ":x", "user:pass",
    "localhost", "::1", "256.1.1.1", "0.0.0.0", "65536", "[",
)  # fmt: skip
"""What could be typed for any option, by mistake or not."""
LEFT_OUT = {
    "--help", "-h", "--help-all", "--version", "--debug",  # they end otherwise, as they should
    "--keep-work",  # leaves its work
    "--ray", "--ray-cores",  # start a cluster
    "--compile",  # takes minutes
}  # fmt: skip
TRACKS = {
    "tracks_version": 1,
    "size": [64, 48],
    "tracks": [
        {"label": "face 1", "tracklets": [{"start": 0, "confidence": 0.9, "boxes": [[16, 12, 48, 36]] * 6}]},
        {"label": "face 2", "thumbnail": "x/1.png", "tracklets": [
            {"start": 1, "fade_in": 2, "fade_out": 1, "boxes": [[1, 2, 30, 40]] * 4},
            {"start": 8, "boxes": [[2.5, 2, 31.25, 40]] * 4},
        ]},
    ],
}  # fmt: skip
EDITS = (
    "1", "2", "0", "3", "-1", "", ",", "1,2", "1,1", "2,1,2", "face 1", "face 1,2", "²", "\u0661", "1@3", "1@3f",
    "2@8f", "1@0", "1@99999999999", "1@9999999999999", "@3", "1@", "1@\u0661", "1=anna", "1=face 2", "1=", "=anna",
    "1=2", "1=²", "1=a=b", "1=\udcff", "1=\x1b[31m", "1=" + "x" * 900, "face 2=face 3", "9=x", "x",
)  # fmt: skip


# Every option of every command


@cache
def options_of(name: str) -> tuple[tuple[str, bool], ...]:
    """The options of a command, and whether each takes a value."""
    parser = build_parser()
    chosen = next(one for one in parser._actions if isinstance(one, argparse._SubParsersAction)).choices[name]
    given = [(option, action.nargs != 0) for action in chosen._actions for option in action.option_strings]
    return tuple(one for one in given if one[0] not in LEFT_OUT)


BASES: dict[str, tuple[str, ...]] = {
    "detail": ("a.mp4", "-o", "out.mp4", *BOX, *SMALL),
    "preview": ("a.mp4", *BOX, *SMALL, "--moments", "1"),
    "batch": ("a.mp4", "-o", "out", *BOX, *SMALL),
    "detect": ("a.mp4", *BOX),
    "track": ("a.mp4", "-o", "tracks.json", "--follow", "16,12,48,36"),
    "evaluate": ("a.mp4", "b.mp4", *BOX),
    "models": (),
    "clean": (),
    "completion": ("bash",),
    "web": ("--port", "0"),
}
WRITTEN = (
    "out.mp4",
    "a.preview",
    "out",
    "tracks.json",
    "tracks-thumbnails",
    "a.detect.json",
    "a.detect.png",
    ".redetail",
)


def surroundings(folder: Path) -> None:
    """Files that names in TYPED mean."""
    clip(folder)
    (folder / "b.mp4").write_bytes((folder / "a.mp4").read_bytes())
    (folder / "loop").symlink_to("loop")
    (folder / "folder").mkdir()
    (folder / "text.txt").write_text("a.mp4\n# b\n\nb.mp4\n")
    (folder / "list.txt").write_text("@list.txt\n")
    os.mkfifo(folder / "fifo")


def typed(rng: Rng, folder: Path) -> Case:
    """A command with one to three options of its own, each with something that could be typed."""
    surroundings(folder)
    name = one_of(rng, ("detail", "detail", "detail", *BASES))
    arguments, values = list(BASES[name]), []
    for _ in range(int(rng.integers(1, 4))):
        option, takes = one_of(rng, options_of(name))
        value = one_of(rng, TYPED)
        arguments.append(
            f"{option}={value}" if takes and option.startswith("--") else f"{option}{value}" * takes or option
        )
        values.append(value)
    if rng.random() < 0.15 and arguments:
        arguments[0] = one_of(rng, TYPED)
        values.append(arguments[0])
    allowed = (*WRITTEN, *(own for value in values for own in names_from(value)))
    case = ran(name, *arguments, written=allowed)
    if name == "web":
        act = case.act
        case.act = lambda: (without_waiting(), act())[1]
    return case


def names_from(value: str) -> Iterator[str]:
    """First parts of the names that a command may write where a value names an output."""
    first = value.removeprefix("./").split("/")[0]
    stem = Path(first).stem
    if first not in ("", "a.mp4", "b.mp4", "text.txt", "list.txt"):
        yield from (first, f"{first}.json", f"{stem}-thumbnails", f"{stem}.preview", f"{stem}.png", f"{stem}.webp")
        yield from (f"{stem}.detect.json", f"{stem}.detect.png")


def without_waiting() -> None:
    """Let the server of the page end as soon as it has started."""
    import uvicorn

    uvicorn.Server.run = lambda self, sockets=None: None  # type: ignore[method-assign]


# Documents and lists


def tracks(rng: Rng, folder: Path) -> Case:
    """A document of tracks with values that cannot be, used or edited."""
    path = clip(folder)
    document: Any = spoiled(TRACKS, rng) if rng.random() < 0.6 else TRACKS
    written_json(folder / "t.json", document, rng)
    if rng.random() < 0.4:
        return ran("detail", path, "-o", "out.mp4", "--tracks", "t.json", *SMALL, written=("out.mp4",), source=path)
    edits = [
        f"{one_of(rng, ('--split', '--merge', '--keep', '--drop', '--rename'))}={one_of(rng, EDITS)}"
        for _ in range(int(rng.integers(1, 4)))
    ]
    if rng.random() < 0.15:
        (folder / "out-thumbnails").write_text("x")
        return ran("track", path, "-o", "out.json", "--follow", "16,12,48,36", written=("out.json",))
    return ran("track", "--edit", "t.json", "-o", "out.json", *edits, written=("out.json",))


PATTERNS = (
    "{stem}{suffix}", "{number}.mkv", "{number:999999999}", "{number:3}{suffix}", "{stem:x^99999}",
    "{stem.__class__}", "{stem[0]}", "{0}", "{}", "{", "}", "{stem!z}", "../{stem}", "/x/{stem}", "", ".",
    "x/{stem}{suffix}", "{parent}/x.mkv", "{stem:{number}}", "{number:\0}", "\udcff.mkv", "{stem}.xyz", "-",
    "a.mp4", "{suffix}", "x" * 300,
)  # fmt: skip


def batch(rng: Rng, folder: Path) -> Case:
    """Lists, patterns and folders of clips that mean nothing, themselves, or too much."""
    surroundings(folder)
    lines = [one_of(rng, TYPED) for _ in range(int(rng.integers(0, 5)))]
    how = "surrogatepass" if rng.random() < 0.3 else "replace"
    (folder / "clips.txt").write_bytes("\n".join(lines).encode("utf-8", how))
    kinds = ("@clips.txt", "@clips.txt", "*.mp4", "folder", "a.mp4", "[", "**/*", *TYPED)
    inputs = [one for _ in range(int(rng.integers(1, 3))) if (one := one_of(rng, kinds))]
    out, name = one_of(rng, ("out", "out", "folder", "a.mp4", "nowhere/out", ".")), ()
    if out != "." and rng.random() < 0.5:
        name = (f"--name={one_of(rng, PATTERNS)}",)
    if rng.random() < 0.7:
        inputs.append("a.mp4")
    written = (*WRITTEN, out.split("/")[0], "redetail-batch.json", "redetail-batch.csv")
    return ran("batch", *inputs, f"-o{out}", *name, f"--box={BOX[1]}", *SMALL, written=written)


def compared(rng: Rng, folder: Path) -> Case:
    """Results that are damaged, of another length or size, or no clips, measured against their source."""
    path = clip(folder)
    name = one_of(rng, tuple(media.CONTAINERS))
    result = clip(folder, name) if name != "a.mp4" else path
    other = folder / f"other{result.suffix}"
    whole = result.read_bytes()
    other.write_bytes(one_of(rng, media.DAMAGES)(whole, rng) or b"\0" if rng.random() < 0.7 else whole)
    shown = one_of(rng, ("other", "source", "a=b", "=", "", "x" * 300, "\udcff", "\x1b[31m", "original"))
    more = one_of(rng, ((), ("--report", "r.json"), ("--sheet", "s.png"), ("--video", "v.mp4"), ("--original", other)))
    span = one_of(rng, ((), (), ("--start", "3f"), ("--end", "4f"), ("--start", "99f")))
    return ran("evaluate", path, f"{shown}={other.name}", *BOX, *more, *span, written=("r.json", "s.png", "v.mp4"))


# Files of detectors and of quantised weights

LITERALS = (
    "{[]: 1}", "{0: {}}", "{-1: 'a'}", "{'a': 'b'}", "[1, 2", "(" * 9999, "[" * 80 + "]" * 80, "1", "'", "[]",
    "{}", "[64, 64]", "[1000000, 1000000]", "[100000, 1]", "[True, True]", "[0, 0]", "[-1, 64]", "[1e9, 1]",
    "{0: '\x1b[31m'}", "\0", "x" * 9000, "{0: 'red', 1: 'red'}", "{0: 'a,b'}", "9" * 5000, "{**{}}",
    "-" * 5000 + "1", "{1: 'a'}",
)  # fmt: skip


def detector_file(rng: Rng, folder: Path) -> Case:
    """A detector in an ONNX file, damaged, with metadata or an input that cannot be, or another threshold."""
    path = clip(folder)
    sides = one_of(rng, (None, None, (1, 3, 64, 64), (1, 3, "h", "w"), ("n", "c", "h", "w"), (1, 3, 10**6, 10**6),
                         (1, 3, 0, 0), (1, 3, 65, 63), (3, 64, 64), ()))  # fmt: skip
    names = one_of(rng, (None, "{0: 'red', 1: 'green'}", *LITERALS))
    file = detector(folder / "d.onnx", one_of(rng, ("v8", "v5", "v8-seg", "final")), names=names, input_shape=sides)
    if rng.random() < 0.3:
        data = file.read_bytes()
        file.write_bytes(data + b"\x72" + _varint(len(entry := _entry("imgsz", one_of(rng, LITERALS)))) + entry)
    if rng.random() < 0.35:
        file.write_bytes(one_of(rng, media.DAMAGES)(file.read_bytes(), rng) or b"\0")
    threshold = one_of(rng, ("", "", ":0.3", ":0", ":1", ":nan", ":", ":2", ":-1", ":1e-999", ":x", ":0.3:0.4"))
    classes = one_of(
        rng, ((), (), ("--detector-classes", "red"), ("--detector-classes", ","), ("--detector-classes", "x"))
    )
    return ran("detail", path, "-o", "out.mp4", "--detector", f"d.onnx{threshold}", *classes, *SMALL, "--end", "3f",
               written=("out.mp4",))  # fmt: skip


def _varint(value: int) -> bytes:
    return bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80]) + _varint(value >> 7)


def _entry(key: str, value: str) -> bytes:
    texts = key.encode(), value.encode()
    return b"".join(bytes([number << 3 | 2]) + _varint(len(one)) + one for number, one in enumerate(texts, 1))


def quantised(rng: Rng, folder: Path) -> Case:
    """Weights of Wan in GGUF or scaled fp8, damaged or with fields that cannot be, in each place for them."""
    path = clip(folder)
    name = _gguf(rng, folder) if rng.random() < 0.6 else _fp8(rng, folder)
    if rng.random() < 0.5:
        file = folder / name
        file.write_bytes(one_of(rng, media.DAMAGES)(file.read_bytes(), rng) or b"\0")
    match int(rng.integers(3)):
        case 0:
            return ran("models", "inspect", name, fake=False)
        case 1:
            return ran("models", "check", name, *one_of(rng, ((), (name,))), fake=False)
        case _:
            option = one_of(rng, ("--checkpoint", "--vae", "--text-encoder", "--lora", "--low-noise-checkpoint"))
            return ran("detail", path, "-o", "out.mp4", *BOX, *SMALL, option, name, fake=False, written=("out.mp4",))


WAN = ("patch_embedding.weight", "blocks.0.self_attn.q.weight", "head.modulation", "text_embedding.0.weight")
UMT5 = ("token_embd.weight", "enc.blk.0.attn_q.weight", "enc.output_norm.weight")


def _gguf(rng: Rng, folder: Path) -> str:
    import gguf

    writer = gguf.GGUFWriter(folder / "w.gguf", "wan")
    for name in one_of(rng, (WAN, UMT5, ("x",), ())):
        values = np.zeros((2, 32), np.float32)
        kind = gguf.GGMLQuantizationType[one_of(rng, ("F32", "F16", "Q8_0", "Q4_0"))]
        key = f"comfy.gguf.orig_shape.{name}"
        match int(rng.integers(6)):
            case 0:
                writer.add_array(key, one_of(rng, ([2, 32], [64], [2**31 - 1, 4], [-1, 64], [0], [1] * 70, [1.5])))
            case 1:
                writer.add_string(key, one_of(rng, ("x", "", "12")))
            case 2:
                writer.add_array(key, ["a", "b"])
        writer.add_tensor(name, values if kind.name == "F32" else gguf.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return "w.gguf"


def _fp8(rng: Rng, folder: Path) -> str:
    format_text = one_of(
        rng, (b'{"format": "float8_e4m3fn"}', b'{"format": ["x"]}', b"[]", b"{}", b"[" * 5000, b"\xff", b"1")
    )
    header: dict[str, Any] = {}
    data = b""

    def add(name: str, dtype: str, shape: list[int], content: bytes) -> None:
        nonlocal data
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content

    for name in one_of(rng, (WAN, WAN[:1], ("shared.weight", "encoder.block.0.layer.0.SelfAttention.q.weight"))):
        shape = one_of(rng, ([2, 2], [4], [], [2, 2, 1, 1, 1]))
        add(name, "F8_E4M3", shape, bytes(int(np.prod(shape))))
        stem = name.removesuffix(".weight")
        scale = one_of(rng, ([], [1], [2], [3], [0]))
        add(stem + one_of(rng, (".scale_weight", ".weight_scale")), "F32", scale, bytes(4 * int(np.prod(scale))))
        if rng.random() < 0.5:
            kind = one_of(rng, ("U8", "U8", "F32", "BF16"))
            size = {"U8": 1, "F32": 4, "BF16": 2}[kind]
            text = format_text.ljust(-(-len(format_text) // size) * size)
            add(f"{stem}.comfy_quant", kind, [len(text) // size], text)
    if rng.random() < 0.5:
        add(
            "scaled_fp8",
            "F8_E4M3",
            one_of(rng, ([0], [2], [])),
            bytes(int(np.prod(header and [2])))[: 0 if rng.random() < 0.5 else 2],
        )
    text = json.dumps(header).encode()
    (folder / "w.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    return "w.safetensors"


# Work that is resumed


def resumed(rng: Rng, folder: Path) -> Case:
    """Work of a run, damaged or of a newer program, and the same run again with --resume."""
    path = clip(folder)
    arguments = ("detail", path, "-o", "out.mp4", *BOX, *SMALL)

    def act() -> int:
        command(*arguments, "--keep-work")
        (folder / "out.mp4").unlink()
        sys.stderr.write("The work so far is kept, as it was asked.\n")
        (work,) = folder.glob(".*.work")
        for _ in range(int(rng.integers(1, 3))):
            _damage(rng, work)
        return command(*arguments, "--resume", "--overwrite")

    return Case(act, ("out.mp4",), path, description="resumed")


def _damage(rng: Rng, work: Path) -> None:
    files = sorted(one for one in work.rglob("*") if one.is_file() and not one.is_symlink())
    if not files:
        return
    file = one_of(rng, files)
    match int(rng.integers(6)):
        case 0:
            file.unlink()
        case 1:
            file.unlink()
            file.symlink_to(one_of(rng, ("/dev/zero", "nowhere", file.name)))
        case 2:
            file.unlink()
            file.mkdir()
        case 3:
            file.write_bytes(one_of(rng, media.DAMAGES)(file.read_bytes(), rng))
        case _:
            documents = [one for one in files if one.suffix == ".json"]
            if documents:
                chosen = one_of(rng, documents)
                with suppress(ValueError):
                    written_json(chosen, spoiled(json.loads(chosen.read_text()), rng), rng)


# The page


def page(rng: Rng, folder: Path) -> Case:
    """What a browser could send: names, marks, settings, jobs; nothing that is read or written may lie outside."""
    surroundings(folder)
    (folder / ".redetail" / "runs").mkdir(parents=True)
    outside = folder.parent / "outside.mp4"
    outside.write_bytes((folder / "a.mp4").read_bytes())
    (folder / "link.mp4").symlink_to(outside)
    (folder / "up").symlink_to("..")
    values = [one_of(rng, PAGE_NAMES) if rng.random() < 0.5 else _sent(rng) for _ in range(6)]
    return Case(lambda: library(lambda: _ordered(rng, folder, values)), (".redetail",), description=ascii(values)[:300])


PAGE_NAMES = (
    "a.mp4", "b.mp4", "folder", "link.mp4", "up/outside.mp4", "up", "../outside.mp4", "text.txt", "fifo", "loop",
    "a.mp4/..", "./a.mp4", "A.MP4", "a.mp4\0", "file:a.mp4", "C:a.mp4", "\\\\x\\y", ".redetail/runs",
)  # fmt: skip


def _sent(rng: Rng) -> Any:
    return one_of(rng, TYPED) if rng.random() < 0.6 else hostile(rng)


def _ordered(rng: Rng, folder: Path, values: list[Any]) -> None:
    from redetail.web.folder import Folder
    from redetail.web.marks import Marks
    from redetail.web.orders import Desk, Order

    class Queue:
        """Takes orders, and starts nothing."""

        def add(self, make: Any) -> Any:
            place = folder / ".redetail" / "runs" / "000001-00000000"
            place.mkdir()
            try:
                return make(place)
            except BaseException:
                shutil.rmtree(place)
                raise

        def runs(self) -> list[Any]:
            return []

        def outputs(self) -> set[Path]:
            return set()

    allowed = Folder.of(folder)
    desk = Desk(allowed, Queue())  # type: ignore[arg-type]
    what = int(rng.integers(6))
    if what == 0:
        made = desk.run_text(_job_text(rng, values))
    elif what == 1:
        _check_inside(folder, allowed.inside(values[0]))
        return
    elif what == 2:
        made = desk.batch(Order(clip="a.mp4", who=values[1]), values[0], values[2])
    else:
        order = Order(
            clip=one_of(rng, (values[0], "a.mp4")), start=one_of(rng, (values[1], "")),
            end=one_of(rng, (values[2], "")),
            who=one_of(rng, ((), (), [values[3]], values[3])), detect=one_of(rng, ("", "", values[3])),
            marks=Marks.parse(one_of(rng, ("16,12,48,36", values[4]))),
            model=one_of(rng, ({}, {"checkpoint": values[5]})),
            settings=one_of(rng, ({}, {"steps": values[4]}, {"loras": [values[5]]})),
            output=one_of(rng, ("", str(values[5]))), scale=one_of(rng, ("", str(values[4]))),
        )  # fmt: skip
        made = (desk.find, desk.detail, desk.preview)[what - 3](order)
    _check_inside(folder, made.source, *([] if made.output is None else [made.output]))


def _job_text(rng: Rng, values: list[Any]) -> Any:
    from redetail.job import to_toml

    if rng.random() < 0.2:
        return values[0]
    document = {
        **JOB,
        one_of(rng, ("source", "output", "mask", "report", "compare", "save_hints", "job_version")): values[0],
    }
    with suppress(Exception):  # not every value can be written as TOML
        return to_toml(document)
    return "source = 'a.mp4'"


def _check_inside(folder: Path, *paths: Path) -> None:
    for path in paths:
        if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
            raise AssertionError(f"{path} lies outside")


# A disk that is full


def small_disk(rng: Rng, folder: Path) -> Case:
    """A file system of its own with little room, where one can be mounted; else files have a largest size."""
    room = int(2 ** rng.uniform(12, 19))
    mounted = _mounted(folder, len(media.original("a.mp4", SOURCES)) + 3 * 4096 + room)
    (folder / "tmp").mkdir(exist_ok=True)
    path = clip(folder)
    output = one_of(rng, ("out.mp4", "out.mkv", "frames", "out.gif", "out.webp"))
    more = one_of(rng, ((), ("--report", "report.html"), ("--compare", "both.mp4"), ("--save-job", "job.toml")))
    arguments: tuple[object, ...] = ("detail", path, "-o", output, *BOX, *SMALL, *more)
    if rng.random() < 0.3:
        arguments = one_of(rng, (("preview", path, *BOX, *SMALL), ("batch", path, "-o", "out", *BOX, *SMALL),
                                 ("track", path, "-o", "tracks.json", "--follow", "16,12,48,36"),
                                 ("evaluate", path, path.name, *BOX, "--sheet", "s.png", "--report", "r.json"),
                                 ))  # fmt: skip
    case = ran(*arguments, written=(output, "report.html", "both.mp4", "job.toml", "s.png", "r.json", *WRITTEN))
    case.description += f" ({room} bytes{'' if mounted else ', not mounted'})"
    if mounted:
        case.finish = lambda: subprocess.run(["umount", folder], check=False)
    return case


def _mounted(folder: Path, size: int) -> bool:
    library_c = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
    options = f"size={size},nr_inodes=200".encode()
    return library_c.mount(b"redetail-fuzz", os.fsencode(folder), b"tmpfs", 0, options) == 0
