"""Thin shells around the core and the outside: each feeds decisions and carries them out, none decides.

Master: Scheduler, MinionRegistry, PipelineCompiler, Store, HeartbeatMonitor, Archive (logs and blobs), ClientDesk.
Minion's agent: Minion, Heartbeat, Courier.

Crash-only: an actor that fails ends its process at once (`crash.py`); whoever started the process starts it again, and
recovery is the ordinary start.
"""
