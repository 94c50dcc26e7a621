"""Measurements: fidelity and temporal consistency."""
