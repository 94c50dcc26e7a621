"""What detectors call things: the presets of the label filter, in the order of saved workflows."""

from __future__ import annotations

FACE_PARTS = (
    *("mouth", "eyes", "eyebrows", "pupils"),
    *("left_eyebrow", "left_eye", "left_pupil", "right_eyebrow", "right_eye", "right_pupil"),
)

GROUPS = {
    "eyes": ("left_eye", "right_eye"),
    "eyebrows": ("left_eyebrow", "right_eyebrow"),
    "pupils": ("left_pupil", "right_pupil"),
}
"""Names that stand for several labels."""

CLOTHES = (
    *("short_sleeved_shirt", "long_sleeved_shirt", "short_sleeved_outwear", "long_sleeved_outwear", "vest", "sling"),
    *("shorts", "trousers", "skirt"),
    *("short_sleeved_dress", "long_sleeved_dress", "vest_dress", "sling_dress"),
)
"""The 13 classes of DeepFashion2."""

COCO = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat"),
    *("traffic light", "fire hydrant", "stop sign", "parking meter", "bench"),
    *("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"),
    *("backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite"),
    *("baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket"),
    *("bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl"),
    *("banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake"),
    *("chair", "couch", "potted plant", "bed", "dining table", "toilet"),
    *("tv", "laptop", "mouse", "remote", "keyboard", "cell phone"),
    *("microwave", "oven", "toaster", "sink", "refrigerator"),
    *("book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush"),
)
"""The 80 classes of COCO."""

PRESETS = ("all", "hand", "face", *FACE_PARTS, *CLOTHES, *COCO)


def matches(label: str, wanted: set[str]) -> bool:
    """Whether ``wanted`` holds the label, or a group that the label belongs to."""
    return label in wanted or any(label in GROUPS[group] for group in wanted & GROUPS.keys())
