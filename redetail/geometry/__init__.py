"""Scale rule, crop windows, paths, padding and context windows: arithmetic without pixels."""
