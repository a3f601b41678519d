"""Stubs of the services that a plugin serves: generated ones for ours, `goplugin` for go-plugin's own."""
