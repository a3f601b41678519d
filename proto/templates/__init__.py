"""What the generated files look like."""
