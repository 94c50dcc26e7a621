"""The command line: it reads options, draws progress and words results; all work is done by :mod:`redetail.api`."""
