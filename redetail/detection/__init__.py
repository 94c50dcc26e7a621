"""Finds out who is in a frame, and where shots end."""

from redetail.detection.base import Detector
from redetail.detection.registry import detector_label, detector_names, load_detector
from redetail.detection.shots import CutDetector

__all__ = ["CutDetector", "Detector", "detector_label", "detector_names", "load_detector"]
