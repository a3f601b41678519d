"""Limits of the client conversation."""

STREAM_WINDOW = 64
"""Most unacknowledged items of one stream."""
STREAM_IDLE_S = 60.0
PAGE = 100
"""Most rows of one page."""
