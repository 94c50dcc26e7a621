"""The command line: it reads options, draws progress and formats results; :mod:`redetail.api` does all the work."""
