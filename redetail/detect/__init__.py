"""Who is in a frame, and where one shot ends."""

from redetail.detect.base import Detector, detector_names, load_detector

__all__ = ["Detector", "detector_names", "load_detector"]
