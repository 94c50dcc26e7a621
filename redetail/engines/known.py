"""Published weights that are known to work: names of files, where they are published, and under which licence.

Nothing is fetched from here; ``redetail models`` and docs/weights.md show it. Licences are those that the publishers
state on the pages named; read them before you use or pass on what you make.
"""

from __future__ import annotations

from dataclasses import dataclass

OPENRAIL = "CreativeML OpenRAIL-M"
_ANIMATEDIFF = "huggingface.co/guoyww/animatediff"
_LIGHTNING = "huggingface.co/ByteDance/AnimateDiff-Lightning"
_CONTROLNET = "huggingface.co/lllyasviel/ControlNet-v1-1"
OPENRAIL_PP = "CreativeML Open RAIL++-M"


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A published file (or folder of the hub): ``option`` is what it is given to, ``notes`` what belongs with it."""

    name: str
    option: str
    published: str
    licence: str
    notes: str


KNOWN: tuple[KnownModel, ...] = (
    KnownModel(
        "v1-5-pruned-emaonly.safetensors", "--checkpoint",
        "huggingface.co/stable-diffusion-v1-5/stable-diffusion-v1-5", OPENRAIL,
        "Stable Diffusion 1.5; fine-tunes of it are checkpoints too and mostly do faces better",
    ),
    KnownModel("mm_sd_v15_v2.ckpt", "--motion-module", _ANIMATEDIFF, "Apache-2.0",
               "AnimateDiff v2; takes motion LoRA"),
    KnownModel("v3_sd15_mm.ckpt", "--motion-module", _ANIMATEDIFF, "Apache-2.0", "AnimateDiff v3; --preset quality"),
    KnownModel("v3_sd15_adapter.ckpt", "--lora", _ANIMATEDIFF, "Apache-2.0",
               "belongs with v3_sd15_mm.ckpt: takes up the look of its training videos"),
    KnownModel("v2_lora_ZoomIn.ckpt and 7 others", "--motion-lora", _ANIMATEDIFF, "Apache-2.0",
               "camera motion for AnimateDiff v2"),
    KnownModel("AnimateLCM_sd15_t2v.ckpt", "--motion-module", "huggingface.co/wangfuyun/AnimateLCM", "see its page",
               "with the LoRA below and --preset lcm"),
    KnownModel("AnimateLCM_sd15_t2v_lora.safetensors", "--lora", "huggingface.co/wangfuyun/AnimateLCM", "see its page",
               "belongs with AnimateLCM_sd15_t2v.ckpt, strength 0.8 to 1"),
    KnownModel("animatediff_lightning_4step_comfyui.safetensors", "--motion-module", _LIGHTNING, OPENRAIL,
               "with --preset lightning; 1, 2 and 8 steps exist, give --steps with them"),
    KnownModel("control_v11p_sd15_canny.pth", "--controlnet", _CONTROLNET, "OpenRAIL", "with --control canny"),
    KnownModel("control_v11p_sd15_lineart.pth", "--controlnet", _CONTROLNET, "OpenRAIL", "with --control lineart"),
    KnownModel("control_v11p_sd15_softedge.pth", "--controlnet", _CONTROLNET, "OpenRAIL", "with --control softedge"),
    KnownModel("control_v11f1e_sd15_tile.pth", "--controlnet", _CONTROLNET, "OpenRAIL",
               "with --control tile; lets denoise go higher while the subject stays itself"),
    KnownModel("control_v11f1p_sd15_depth.pth", "--controlnet", _CONTROLNET, "OpenRAIL",
               "with --control FILE, a video of depth"),
    KnownModel("control_v11p_sd15_openpose.pth", "--controlnet", _CONTROLNET, "OpenRAIL",
               "with --control FILE, a video of poses"),
    KnownModel("vae-ft-mse-840000-ema-pruned.safetensors", "--vae",
               "huggingface.co/stabilityai/sd-vae-ft-mse-original", "MIT", "finer eyes and teeth than older VAEs"),
    KnownModel("sd_xl_base_1.0.safetensors", "--checkpoint", "huggingface.co/stabilityai/stable-diffusion-xl-base-1.0",
               OPENRAIL_PP, "Stable Diffusion XL; fine-tunes of it are checkpoints too and mostly do faces better"),
    KnownModel("mm_sdxl_v10_beta.ckpt", "--motion-module", _ANIMATEDIFF, "Apache-2.0",
               "AnimateDiff for Stable Diffusion XL, which its authors call a beta"),
    KnownModel("animatediff-motion-adapter-sdxl-beta", "--motion-module",
               "huggingface.co/guoyww/animatediff-motion-adapter-sdxl-beta", "Apache-2.0",
               "the same as a folder in the diffusers layout"),
    KnownModel("pytorch_lora_weights.safetensors", "--lora", "huggingface.co/latent-consistency/lcm-lora-sdxl",
               OPENRAIL_PP, "LCM-LoRA for Stable Diffusion XL, with --preset lcm"),
    KnownModel("sdxl_lightning_4step_lora.safetensors", "--lora", "huggingface.co/ByteDance/SDXL-Lightning",
               OPENRAIL_PP, "Stable Diffusion XL with --preset lightning; 2 and 8 steps exist, give --steps with them"),
    KnownModel("controlnet-canny-sdxl-1.0", "--controlnet", "huggingface.co/diffusers/controlnet-canny-sdxl-1.0",
               OPENRAIL_PP, "Stable Diffusion XL with --control canny"),
    KnownModel("controlnet-tile-sdxl-1.0", "--controlnet", "huggingface.co/xinsir/controlnet-tile-sdxl-1.0",
               "Apache-2.0", "Stable Diffusion XL with --control tile"),
    KnownModel("sdxl-vae-fp16-fix", "--vae", "huggingface.co/madebyollin/sdxl-vae-fp16-fix", "MIT",
               "Stable Diffusion XL in float16 without overflow: half the VAE's memory"),
)  # fmt: skip
