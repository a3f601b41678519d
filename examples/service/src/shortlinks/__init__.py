"""Makes long links short."""

__version__ = "1.4.0"
