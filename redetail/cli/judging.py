"""What can be typed after ``redetail evaluate`` and ``redetail preview``: the commands for looking at results."""

from __future__ import annotations

from redetail.cli.options import add_subjects, number
from redetail.cli.parsing import Commands, add_command, add_models_and_memory, add_scale, add_source, add_talk


def add_evaluate(commands: Commands) -> None:
    """Add ``redetail evaluate``."""
    parser = add_command(
        commands,
        "evaluate",
        usage="redetail evaluate SOURCE RESULT [RESULT ...] [--original CLIP] [options]",
        help="measure what detailing gained, and at what cost",
        description="Compare results of redetail or of any other tool with the clip that they were made from.\n"
        "This measures sharpness, noise, flicker, seams and colours, and with --original also PSNR, SSIM and VMAF.\n"
        "The clips can differ in size.",
        epilog="exit codes: 0 the measurements are complete; 2 something must be changed, and the message says what\n",
    )
    group = parser.add_argument_group("clips")
    group.add_argument("input", metavar="SOURCE", help="the video or folder of images that was detailed")
    group.add_argument(
        "results", metavar="RESULT", nargs="+", help="a detailed version of SOURCE; NAME=FILE gives it a name"
    )
    group.add_argument(
        "--original", metavar="CLIP", help="a clip that shows how the result should look, if you have one"
    )
    add_subjects(parser.add_argument_group("subjects"))
    group = parser.add_argument_group("output")
    group.add_argument("--report", metavar="OUT.json", help="also write all measurements, frame by frame")
    group.add_argument(
        "--sheet",
        metavar="OUT.png",
        help="also write a contact sheet that shows the subjects of all clips at a few moments of each clip",
    )
    group.add_argument("--video", metavar="OUT.mp4", help="also write a video that shows all clips")
    group.add_argument(
        "--layout", metavar="NAME", default="crops",
        help="layout of the video: crops (zoomed in on the subjects), side (whole frames side by side), split or wipe "
        "(one frame, in bands with fixed or moving borders) [crops]",
    )  # fmt: skip
    group.add_argument("--overwrite", action="store_true", help="replace existing files")
    add_talk(parser)


def add_preview(commands: Commands) -> None:
    """Add ``redetail preview``."""
    parser = add_command(
        commands,
        "preview",
        usage="redetail preview IN [-o FOLDER|SHEET.png] [--vary NAME=VALUE,VALUE ...] [options]",
        help="show a few moments of the result before a whole run, to compare settings",
        description="Detail a few moments of a clip (its middle, and where subjects are largest, smallest and fastest)"
        "\nand show them next to the source in a contact sheet and a short loop, zoomed in on the subject.\n"
        "Only the stretches with these moments are computed; their pixels are exactly those of a whole run.",
    )
    add_source(parser, optional=True)
    group = parser.add_argument_group("output")
    group.add_argument(
        "-o", "--output", metavar="FOLDER|SHEET.png",
        help="a folder for sheet.png and loop.webp, or a file name for the sheet, with the loop next to it "
        "[IN.preview in the current folder]",
    )  # fmt: skip
    group.add_argument("--loop", metavar="LOOP", help="write the loop to this file instead (.webp, .gif, .mp4 ...)")
    group.add_argument("--moments", type=number, metavar="N", default=4, help="number of moments to show, 1 to 24 [4]")
    group.add_argument(
        "--vary", metavar="NAME=V1,V2", action="append",
        help="show a column for each of these values of a setting or of --preset; if given several times, a column "
        "for every combination, at most 12; if values contain commas, put | between the values",
    )  # fmt: skip
    group.add_argument(
        "--nearest",
        action="store_true",
        help="enlarge with nearest-neighbour sampling, which leaves each pixel visible",
    )
    add_scale(group)
    group.add_argument("--overwrite", action="store_true", help="replace existing files")
    add_models_and_memory(parser)
    add_talk(parser, "redetail preview in.mp4 --vary denoise=0.3,0.5 --vary steps=2,8")
