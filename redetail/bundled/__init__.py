"""What ships inside the package: models and detectors, each with its card and licence."""
