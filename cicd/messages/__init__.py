"""Every typed message that crosses a socket or is stored: frozen values, one file per conversation.

`base` holds what all share; `pipeline`, `run`, `cluster` are the nouns (also the stored records); `minion`, `bulk`,
`client`, `jobhost`, `build` and `tap` are the conversations. Nothing in here reads a clock, a file or a socket.
"""
