"""Scale rule, crop windows, paths, padding and context windows: arithmetic that needs no pixels."""
