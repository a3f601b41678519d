"""The agent's decisions, pure like the rest of the core: what happens goes in with the time, steps come out."""
