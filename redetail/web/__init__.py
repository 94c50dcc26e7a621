"""The web page: a view over a folder of clips and over runs, which are commands in separate processes."""
