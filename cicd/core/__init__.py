"""Pure decisions: what runs next, where, and what a loss means.

No clock, no randomness, no threads, no I/O: events come in with the time in them, a `Plan` of what to store and what to
send goes out. Actors carry plans out. So the whole of it can be enumerated, simulated and replayed.
"""
