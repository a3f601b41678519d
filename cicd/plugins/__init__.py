"""Plugins: pipelines as programs: how they are built, packed, started and spoken to."""
