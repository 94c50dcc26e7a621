"""The page in Gradio, which is imported only here and in :mod:`redetail.web.server`."""
