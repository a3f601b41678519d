"""A model of a whole cluster around the real core: minions, store and network as small as their rules allow.

It runs thousands of histories a second, and after every step it checks what is promised against what has really
happened: which process ran where, and how it ended. `minion` is also the shortest text of what a minion has to do.
"""
