"""The journal of the core's inputs, and what can be told from it.

The core is pure: the same state and the same events give the same decisions. So whoever keeps its state at some moment
(a checkpoint) and every batch of events since then can decide everything again: to check that the same comes out
(`cicd replay`), or to look on and say why (`cicd runs explain`).

    segments     files of checked frames: a header, a checkpoint, batches
    batches      events and the time to bytes, heartbeats in a few of them
    digest       what was decided as a checksum
    checkpoint   the whole state of a core to bytes
    writer       keeps the journal beside a running core
    files        what it writes, by size and age
    reader       the segments of a folder, from some time on
    verdict      decides again and compares
    story        decides again and looks on

It is an aid, never the truth: that is the store's. Nothing waits for the journal, and what is lost of it is said.
"""
