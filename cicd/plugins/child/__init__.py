"""What runs on the far side of a fork: the zygote, the reaper and the job's process. Standard library only.

These files run in the interpreter of a plugin, with `-I -S` and without this project on `sys.path`, so that
nothing of ours can clash with what a pipeline imports: `bootstrap.py` loads them as the package `_cicd_child`, and
they import each other relatively.

    jobhost ─ zygote (one per plugin) ─ reaper (one per attempt, subreaper, own session) ─ job's process ─ its own

The reaper is the only one that is trusted to end the tree. It is bound to the jobhost by a control socket: when that
closes, or when the lease's deadline passes on the boot clock, it kills everything below it, also what has left the
session.
"""
