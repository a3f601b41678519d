"""A whole cluster under virtual time: the real core of the master and of the agent, the real messages, and every fault.

    python -m cicd.testing.simulator --seeds 0..1000
    python -m cicd.testing.simulator --seed 17 --story
    python -m cicd.testing.simulator --seeds 0..1000 --without R7

A seed is a history: what people want, what breaks and when, how long each message takes. The same seed is the same
history on every machine. While it runs, and when everything is well again at its end, each promise is checked against
what has really happened (`witness`). `rules` can take a rule away, to show that it is needed and that its absence is
noticed.

What is real: `cicd.core` with everything in it, the agent's core, the messages, the verdict on an attempt's end, the
table of routes. What is modelled here: the network, the store, the shells, the jobhost and its processes.
"""
