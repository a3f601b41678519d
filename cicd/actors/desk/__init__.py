"""The ClientDesk: the master's side of the client conversation. One file for the calls about each noun."""
