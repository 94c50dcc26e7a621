"""Passes over a video: plan (who is where), run (enhance), paste (write)."""
