"""A CI/CD cluster of actors that runs pipelines written as programs."""

__version__ = "0.1.0"
