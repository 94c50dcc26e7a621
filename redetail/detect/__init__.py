"""Who is in a frame, and where one shot ends."""

from redetail.detect.base import Detector, detector_names, load_detector
from redetail.detect.shots import CutDetector

__all__ = ["CutDetector", "Detector", "detector_names", "load_detector"]
