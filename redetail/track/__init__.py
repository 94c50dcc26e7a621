"""Detections to subjects over time."""
