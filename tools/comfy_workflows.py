"""Write the example workflows that ComfyUI offers in its template browser.

    python tools/comfy_workflows.py            # writes example_workflows/*.json
    python tools/comfy_workflows.py --check    # exits with 1 and names the files that are not up to date

Sockets and widgets of our nodes come from their classes, so that an example cannot lag behind them; what is used of
ComfyUI and other packs is declared in comfy_graph.py.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from comfy_graph import Graph, Out, kinds, widget_defaults
from comfy_pages import ROOT, nodes, stand_in

FOLDER = ROOT / "example_workflows"

FACE = "close-up portrait photo of a man, detailed skin, sharp eyes, natural light"
BAD = "blurry, deformed, cartoon, low quality"
_VIDEO = {"file": "clip.mp4", "title": "Your clip"}


def tracked_faces(graph: Graph) -> None:
    """Faces, the bundled model, no checkpoint."""
    _note(
        graph,
        "## Sharper faces without a checkpoint\n\nRedetail Track finds and follows the faces, Redetail Detailer "
        "restores them with the small model that comes with redetail, and Redetail Paste pastes the changes back.\n\n"
        "1. Choose a clip in *Load Video*.\n2. Run.\n3. Look at the comparison and at the flicker curve.\n\nTo detail "
        "more people, raise `subjects` of Redetail Track. Nothing is downloaded.",
    )
    clip = _clip(graph)
    segs = graph.add("RedetailTrack", 2, {"crop_factor": 1.8}, image_frames=clip["images"])
    detailed = graph.add("RedetailDetailer", 3, image_frames=clip["images"], segs=segs["segs"])
    _finish(graph, clip, detailed, "redetail/faces")


def animatediff_face(graph: Graph) -> None:
    """AnimateDiff-Evolved and Stable Diffusion 1.5, with the nodes of saved workflows."""
    _note(
        graph,
        "## Face detail with AnimateDiff\n\nNeeds AnimateDiff-Evolved, a Stable Diffusion 1.5 checkpoint and a motion "
        "model.\n\nThe detailer processes all frames of the face together to avoid flicker. Clips longer than the "
        "motion model can take are sampled in context windows.\n\nStart with `denoise` 0.35, then raise it.",
    )
    clip = _clip(graph)
    pipe = _animatediff(graph, "v1-5-pruned-emaonly-fp16.safetensors", FACE, BAD)
    detector = graph.add("RedetailDetect", 1)
    segs = graph.add(
        "RedetailImpactSimpleDetectorSEGS_for_AD",
        2,
        {"crop_factor": 2.5},
        bbox_detector=detector["bbox_detector"],
        image_frames=clip["images"],
    )
    detailed = graph.add(
        "RedetailSEGSDetailerForAnimateDiff",
        3,
        {"denoise": 0.35, "cfg": 6.0, "sampler_name": "euler", "scheduler": "normal"},
        image_frames=clip["images"],
        segs=segs["SEGS"],
        basic_pipe=pipe["basic_pipe"],
    )
    _finish(graph, clip, detailed, "redetail/animatediff", paste="RedetailSEGSPaste")


def controlnet_face(graph: Graph) -> None:
    """A tile ControlNet keeps the likeness at a higher denoise."""
    _note(
        graph,
        "## With a ControlNet\n\nNeeds AnimateDiff-Evolved, a Stable Diffusion 1.5 checkpoint, a motion model and a "
        "tile ControlNet. With Advanced-ControlNet, each context window gets the hints of its frames.\n\nThe hint is "
        "the crop itself, at the size at which it is sampled, so the face keeps its likeness even with `denoise` 0.6.",
    )
    clip = _clip(graph)
    pipe = _animatediff(graph, "v1-5-pruned-emaonly-fp16.safetensors", FACE, BAD)
    net = graph.add("ControlNetLoader", 1, {"control_net_name": "control_v11f1e_sd15_tile_fp16.safetensors"})
    segs = graph.add("RedetailTrack", 2, {"crop_factor": 2.5}, image_frames=clip["images"])
    told = graph.add(
        "RedetailImpactControlNetApplySEGS", 2, {"strength": 0.6}, segs=segs["segs"], control_net=net["CONTROL_NET"]
    )
    detailed = graph.add(
        "RedetailDetailer",
        3,
        {"denoise": 0.6, "cfg": 6.0, "sampler_name": "euler", "scheduler": "normal"},
        image_frames=clip["images"],
        segs=told["SEGS"],
        basic_pipe=pipe["basic_pipe"],
    )
    _finish(graph, clip, detailed, "redetail/controlnet")


def refiner_face(graph: Graph) -> None:
    """A second checkpoint paints the last steps."""
    _note(
        graph,
        "## With a refiner\n\nThe first checkpoint starts, and the second takes over for the last `refiner_ratio` of "
        "the steps: for example, a general model for the shape, then a portrait model for the skin. Both are Stable "
        "Diffusion 1.5 checkpoints, and both get the motion model.",
    )
    clip = _clip(graph)
    pipe = _animatediff(graph, "v1-5-pruned-emaonly-fp16.safetensors", FACE, BAD)
    second = _animatediff(graph, "dreamshaper_8.safetensors", "skin texture, sharp eyes, film grain", BAD)
    segs = graph.add("RedetailTrack", 2, {"crop_factor": 2.5}, image_frames=clip["images"])
    schedule = graph.add("RedetailScheduler", 2, {"scheduler": "karras"})
    detailed = graph.add(
        "RedetailDetailer",
        3,
        {"denoise": 0.45, "cfg": 6.0, "refiner_ratio": 0.4, "sampler_name": "dpmpp_2m", "scheduler": "karras"},
        image_frames=clip["images"],
        segs=segs["segs"],
        basic_pipe=pipe["basic_pipe"],
        refiner_basic_pipe_opt=second["basic_pipe"],
        scheduler_func_opt=schedule["scheduler_func"],
    )
    _finish(graph, clip, detailed, "redetail/refiner")


def wan_face(graph: Graph) -> None:
    """A video model does the painting."""
    _note(
        graph,
        "## With a video model\n\nWan paints the crop as a separate clip. If Wan does not accept the size or the "
        "number of frames, the clip is padded, and trimmed again afterwards.\n\n**With the shift of 1** that is set "
        "here, `denoise` 0.2 to 0.3 keeps the person. A shift bends the noise schedule: with the usual shift of 8, "
        "`denoise` 0.3 starts from 78% noise and paints another face. With Wan 2.2, use only the low-noise model. "
        "`max_size` 640 saves memory.",
    )
    clip = _clip(graph)
    model = graph.add("UNETLoader", 0, {"unet_name": "wan2.1_t2v_1.3B_fp16.safetensors", "weight_dtype": "default"})
    text = graph.add(
        "CLIPLoader", 0, {"clip_name": "umt5_xxl_fp8_e4m3fn_scaled.safetensors", "type": "wan", "device": "default"}
    )
    vae = graph.add("VAELoader", 0, {"vae_name": "wan_2.1_vae.safetensors"})
    shifted = graph.add("ModelSamplingSD3", 1, {"shift": 1.0}, model=model["MODEL"])
    pipe = _pipe(graph, shifted["MODEL"], text["CLIP"], vae["VAE"], FACE, BAD)
    segs = graph.add("RedetailTrack", 2, {"crop_factor": 2.5}, image_frames=clip["images"])
    detailed = graph.add(
        "RedetailDetailer",
        3,
        {
            "denoise": 0.25,
            "steps": 10,
            "cfg": 4.0,
            "max_size": 640.0,
            "sampler_name": "euler",
            "scheduler": "simple",
        },
        image_frames=clip["images"],
        segs=segs["segs"],
        basic_pipe=pipe["basic_pipe"],
    )
    _finish(graph, clip, detailed, "redetail/wan")


def _note(graph: Graph, text: str) -> None:
    graph.add("MarkdownNote", 0, {"text": text, "title": "Read me"})


def _clip(graph: Graph) -> Out:
    video = graph.add("LoadVideo", 0, _VIDEO)
    return graph.add("GetVideoComponents", 1, video=video["VIDEO"])


def _animatediff(graph: Graph, checkpoint: str, positive: str, negative: str) -> Out:
    loaded = graph.add("CheckpointLoaderSimple", 0, {"ckpt_name": checkpoint})
    motion = graph.add(
        "ADE_AnimateDiffLoaderGen1",
        1,
        {"model_name": "v3_sd15_mm.ckpt", "beta_schedule": "autoselect"},
        model=loaded["MODEL"],
    )
    return _pipe(graph, motion["MODEL"], loaded["CLIP"], loaded["VAE"], positive, negative)


def _pipe(graph: Graph, model: Any, clip: Any, vae: Any, positive: str, negative: str) -> Out:
    told = [
        graph.add("CLIPTextEncode", 1, {"text": text, "title": title}, clip=clip)
        for title, text in (("What the face should look like", positive), ("What it should not look like", negative))
    ]
    yes, no = (out["CONDITIONING"] for out in told)
    return graph.add("RedetailToBasicPipe", 2, model=model, clip=clip, vae=vae, positive=yes, negative=no)


def _finish(graph: Graph, clip: Out, detailed: Out, prefix: str, paste: str = "RedetailPaste") -> None:
    image = "image_frames" if paste == "RedetailPaste" else "image"
    pasted = graph.add(paste, 4, segs=detailed["segs"], **{image: clip["images"]})
    result = pasted["image_frames" if paste == "RedetailPaste" else "IMAGE"]
    video = graph.add("CreateVideo", 5, {"fps": 24.0}, images=result, audio=clip["audio"], fps=clip["fps"])
    saved = {"filename_prefix": prefix, "format": "auto", "codec": "auto"}
    graph.add("SaveVideo", 6, saved, video=video["VIDEO"])
    compared = graph.add("RedetailCompare", 4, before=clip["images"], after=result, segs=detailed["segs"])
    beside = graph.add("CreateVideo", 5, {"fps": 24.0}, images=compared["side_by_side"], fps=clip["fps"])
    graph.add("SaveVideo", 6, {**saved, "filename_prefix": f"{prefix}_compared"}, video=beside["VIDEO"])
    graph.add("PreviewImage", 5, {"title": "Flicker"}, images=compared["flicker_curve"])


EXAMPLES = (animatediff_face, controlnet_face, refiner_face, tracked_faces, wan_face)


def files() -> dict[Path, str]:
    """Every file that is written, and what should be in it."""
    known = kinds()
    with stand_in():
        defaults = {name: widget_defaults(node) for name, node in nodes().items()}
    made = {}
    for example in EXAMPLES:
        graph = Graph(known, defaults)
        example(graph)
        made[FOLDER / f"{example.__name__}.json"] = json.dumps(graph.document(), indent=1, ensure_ascii=False) + "\n"
    return made


def main() -> int:
    """Write the files, or only look whether they are up to date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; name what is not up to date")
    made = files()
    wrong = [path for path, text in made.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    if parser.parse_args().check:
        for path in wrong:
            sys.stderr.write(f"{path.relative_to(ROOT)} is not up to date; run python tools/comfy_workflows.py\n")
        return int(bool(wrong))
    FOLDER.mkdir(exist_ok=True)
    for path in wrong:
        path.write_text(made[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
