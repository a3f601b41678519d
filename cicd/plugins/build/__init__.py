"""Building pipelines: a helper process of the master that clones, packs, compiles and describes.

    master ── socketpair ── host.py (one thread, asyncio)
                             └── per build: reaper ── clone.py      git, in a process that lives for one clone
                                            reaper ── package.py    uv, bytecode, the artifact
                                            reaper ── the plugin    Describe, once

Whatever a step starts ends with it: by its time limit, by StopBuild, or because the master or this process is gone.
"""
