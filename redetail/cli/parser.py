"""What can be typed: the commands and their options."""

from __future__ import annotations

import re
from collections.abc import Sequence

from redetail import __version__
from redetail.cli.completion import SHELLS
from redetail.cli.help import Help
from redetail.cli.judging import add_evaluate, add_preview
from redetail.cli.options import add_encoding, add_settings, add_subjects
from redetail.cli.parsing import (
    EXIT_CODES,
    Commands,
    Parser,
    add_background,
    add_cluster,
    add_command,
    add_config,
    add_models_and_memory,
    add_scale,
    add_source,
    add_strict,
    add_talk,
    add_work_folder,
)
from redetail.settings import CROP

EXAMPLES = """\
examples:
  redetail detail in.mp4 -o out.mp4                        detail every face that is found
  redetail detail in.mp4 -o out.mp4 --compare both.mp4     compare before and after, zoomed in
  redetail detail in.mp4 -o out.mp4 --box 40,60,180,220    detail what is in the box
  redetail detail in.mp4 -o out.mp4 --start 2 --end 0:05.5 detail only part of the clip
  redetail detail in.mp4 -o out.mp4 --checkpoint sd15.safetensors --motion-module v3_sd15_mm.ckpt \\
                  --preset quality --prompt "portrait, sharp eyes"
  redetail preview in.mp4 --vary denoise=0.3,0.5           see what the settings do, at a few moments
  redetail detail in.mp4 -o out.mp4 --who anna.png         detail only the person shown in a picture
  redetail batch clips -o better                           detail every clip in a folder
  redetail detect in.mp4 --draw found.mp4                  see what would be detailed
"""


def build_parser() -> Parser:
    """The parser of the ``redetail`` command."""
    parser = Parser(
        prog="redetail",
        usage="redetail COMMAND [options]   (redetail COMMAND --help shows the options)",
        description="Add detail to faces and other regions of a video with a diffusion model.",
        epilog=f"{EXAMPLES}\n{EXIT_CODES}",
        formatter_class=Help,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"redetail {__version__}")
    commands = parser.add_subparsers(
        title="commands", dest="command", metavar="COMMAND", required=True, parser_class=Parser
    )
    _add_detail(commands)
    add_preview(commands)
    _add_batch(commands)
    _add_detect(commands)
    _add_track(commands)
    add_evaluate(commands)
    _add_models(commands)
    _add_clean(commands)
    _add_web(commands)
    _add_completion(commands)
    return parser


def joined_values(arguments: Sequence[str]) -> list[str]:
    """Arguments with ``--box -5,0,9,9`` as ``--box=-5,0,9,9``: argparse takes a value that starts with a minus for an
    option, and its message would hide the real error."""
    joined: list[str] = []
    for argument in arguments:
        if joined and re.fullmatch(r"--[a-z-]+", joined[-1]) and re.match(r"-[\d.]", argument):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _add_detail(commands: Commands) -> None:
    parser = add_command(
        commands,
        "detail",
        usage="redetail detail IN -o OUT [options]\n       redetail detail --job JOB.toml [options]",
        help="add detail to faces or other regions of a video",
        description="Find each subject, follow it with a moving crop, re-diffuse the frames of the crop together, and\n"
        "paste the crop back.\n"
        "Everything else in the video stays as it is: pixels, timestamps and sound.",
        epilog=f"{EXAMPLES}\n{EXIT_CODES}",
    )
    add_source(parser, optional=True)
    group = parser.add_argument_group("output")
    group.add_argument("-o", "--output", metavar="OUT", help="video or folder of images to write")
    group.add_argument(
        "--compare", metavar="BOTH.mp4", help="also write a video that shows before and after, zoomed in on subjects"
    )
    group.add_argument(
        "--compare-layout", metavar="NAME",
        help="layout of the video from --compare: crops (zoomed in on the subjects), side (whole frames side by side), "
        "split or wipe (one frame, split by a fixed or moving line) [crops]",
    )  # fmt: skip
    group.add_argument(
        "--report",
        metavar="REPORT",
        help="also write a report of tracks, settings, timings and measurements, as .json or as a web page (.html)",
    )
    group.add_argument("--save-hints", metavar="FOLDER", help="also write the ControlNet hints to this folder")
    group.add_argument(
        "--save-job", metavar="JOB.toml", help="also write a job file, with which --job can repeat this run"
    )
    add_scale(group)
    add_background(group)
    add_encoding(group)
    group.add_argument("--overwrite", action="store_true", help="replace existing files")
    group.add_argument("--dry-run", action="store_true", help="only show what would be done")
    _add_work(parser)
    add_models_and_memory(parser)
    add_cluster(parser)
    add_talk(parser, "redetail detail in.mp4 -o out.mp4 --who anna.png --compare both.mp4 --report report.html")


def _add_batch(commands: Commands) -> None:
    parser = add_command(
        commands,
        "batch",
        usage="redetail batch INPUT [INPUT ...] -o FOLDER [--job JOB.toml] [options]",
        help="detail many clips with the same settings",
        description="Detail many clips with one engine or, with --ray, with one engine in each worker. If a clip\n"
        "fails, the failure is reported and the other clips continue. To resume a batch, run the same command again:\n"
        "it skips the clips that are done.",
        epilog="exit codes: 0 all clips are done; 2 something must be changed, and the message says what; 3 some\n"
        "clips failed or have damaged sources; 130 stopped with Ctrl-C\n",
    )
    group = parser.add_argument_group("what to detail")
    group.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="+",
        help="a clip, a folder of clips, a pattern, or @LIST: a text file with one of these on each line",
    )
    group.add_argument("--job", metavar="JOB", help="a job file (.toml) or a report (.json); options override it")
    add_strict(group)
    add_subjects(group)
    group = parser.add_argument_group("output")
    group.add_argument("-o", "--output", metavar="FOLDER", required=True, help="folder for the outputs and the summary")
    group.add_argument(
        "--name", metavar="PATTERN", default="{stem}{suffix}",
        help="pattern for the names of the outputs; can use {stem}, {suffix}, {parent} and {number} [the names of the "
        "clips]",
    )  # fmt: skip
    add_scale(group)
    add_background(group)
    add_encoding(group)
    group.add_argument("--overwrite", action="store_true", help="also redo clips that are already done")
    add_work_folder(parser.add_argument_group("unfinished work"))
    add_models_and_memory(parser)
    add_cluster(parser)
    add_talk(parser, "redetail batch clips -o better --job job.toml")


def _add_detect(commands: Commands) -> None:
    parser = add_command(
        commands,
        "detect",
        usage="redetail detect IN [options]",
        help="show what would be detailed, without detailing it",
        description="Find and follow the subjects, and draw their boxes and crop windows. Nothing is detailed.",
    )
    add_source(parser)
    group = parser.add_argument_group("output")
    group.add_argument(
        "--report",
        nargs="?",
        const="",
        metavar="REPORT.json",
        help="write the tracks to this file, and a drawing next to it [IN.detect.json in the current folder]",
    )
    group.add_argument("--draw", metavar="OUT", help="write the drawing here; OUT.mp4 shows every frame, OUT.png a few")
    group.add_argument("--overwrite", action="store_true", help="replace existing files")
    add_settings(parser, [CROP])
    add_config(parser)
    add_talk(parser)


def _add_track(commands: Commands) -> None:
    parser = add_command(
        commands,
        "track",
        usage="redetail track IN -o OUT.json [options]\n       redetail track --edit IN.json -o OUT.json [edits]",
        help="write the tracks to a file that you can edit",
        description="Find and follow the subjects, and write their tracks to a file, with thumbnails next to it.\n"
        "To detail the subjects in that file without searching the video, use: redetail detail --tracks TRACKS.json",
    )
    group = parser.add_argument_group("what to find")
    group.add_argument("input", metavar="IN", nargs="?", help="a video, or a folder of images")
    add_strict(group)
    add_subjects(group)
    group = parser.add_argument_group("output")
    group.add_argument("-o", "--output", metavar="OUT.json", required=True, help="file to write the tracks to")
    group.add_argument("--overwrite", action="store_true", help="replace existing files")
    group = parser.add_argument_group("edits [numbers and labels refer to the file before the edits]")
    group.add_argument("--edit", metavar="IN.json", help="edit this tracks file instead of searching a video")
    for flag, metavar, text in (
        ("--split", "TRACK@FRAME", "split a track in two at this frame"),
        ("--merge", "TRACK,TRACK", "join these tracks into one"),
        ("--keep", "TRACK[,TRACK]", "keep these tracks and remove all others"),
        ("--drop", "TRACK[,TRACK]", "remove these tracks"),
        ("--rename", "TRACK=LABEL", "give a track this label"),
    ):
        group.add_argument(flag, metavar=metavar, action="append", help=text)
    add_config(parser)
    add_talk(parser)


def _add_models(commands: Commands) -> None:
    parser = add_command(
        commands,
        "models",
        usage="redetail models\n       redetail models inspect FILE [FILE ...] [--device NAME]\n"
        "       redetail models check CHECKPOINT [FILE ...] [--device NAME]",
        help="list published weights, identify files, or check that they work together",
        description="List the published weights that are known to work, with their names, sources and licences.\n"
        "inspect: show what each file is, which option takes it, and whether it fits on this machine.\n"
        "check: load the files as one model, test it on a bundled clip (encode, add noise, denoise), and\n"
        "report what is wrong with it.",
    )
    parser.add_argument(
        "action",
        nargs="?",
        choices=("inspect", "check"),
        metavar="inspect|check",
        help="inspect: identify files; check: test whether they work together",
    )
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="a .safetensors, .ckpt, .pt, .pth or .bin file, or a folder"
    )
    parser.add_argument(
        "--device", metavar="NAME", help="device to use: cpu, cuda, cuda:1 or mps [the fastest available]"
    )
    add_talk(parser)


def _add_clean(commands: Commands) -> None:
    parser = add_command(
        commands,
        "clean",
        usage="redetail clean [FOLDER ...] [--dry-run]",
        help="remove files left behind by runs that were stopped or killed",
        description="Remove files that runs left in the current folder, or in the folders given, when they were\n"
        "stopped or killed: work kept for --resume, and hidden temporary files. Also remove temporary crops from the\n"
        "folder that TMPDIR names. Files of runs that are still working are left alone.",
    )
    parser.add_argument(
        "folders", nargs="*", metavar="FOLDER", help="folder where outputs were written [the current folder]"
    )
    parser.add_argument("--dry-run", action="store_true", help="only list what would be removed")
    add_talk(parser)


def _add_work(parser: Parser) -> None:
    """The options of :class:`redetail.Work`."""
    group = parser.add_argument_group("stopped runs")
    group.add_argument(
        "--resume", action="store_true", help="continue where an earlier run of the same command stopped"
    )
    add_work_folder(group)


def _add_web(commands: Commands) -> None:
    parser = add_command(
        commands,
        "web",
        usage="redetail web [--folder FOLDER] [options]",
        help="serve a web page on which you select faces, see previews and start runs",
        description="Serve a web page on this machine. Each run is a separate process: it continues when the page is\n"
        "closed or this command ends, and the page shows it again when you restart this command. The page needs\n"
        "Gradio: pip install 'redetail[web]'",
    )
    group = parser.add_argument_group("folders")
    group.add_argument(
        "--folder", metavar="FOLDER", default=".", help="folder of the clips for the page [the current folder]"
    )
    group.add_argument("--models", metavar="FOLDER", help="folder of weight files for the page [models/ in --folder]")
    group = parser.add_argument_group("address")
    group.add_argument(
        "--host",
        metavar="HOST",
        default="127.0.0.1",
        help="address to serve the page on [127.0.0.1]; any address other than the default needs --auth",
    )
    group.add_argument(
        "--port", metavar="N", type=int, default=7860, help="port to serve the page on; 0: any free port [7860]"
    )
    group.add_argument(
        "--auth",
        metavar="USER:PASSWORD",
        help="name and password that everyone must enter; can also be set in REDETAIL_WEB_AUTH",
    )
    add_config(parser)
    add_talk(parser)


def _add_completion(commands: Commands) -> None:
    parser = add_command(
        commands,
        "completion",
        usage="redetail completion bash|zsh|fish",
        help="print a shell completion script",
        description="Print a script that completes commands, options and the values of options. For bash:\n"
        "  redetail completion bash > ~/.local/share/bash-completion/completions/redetail",
    )
    parser.add_argument("shell", metavar="bash|zsh|fish", choices=SHELLS, help="the shell to write the script for")
    add_talk(parser)
