"""Denoisers and their wrappers, noise, schedules and samplers."""
