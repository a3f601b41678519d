"""The store: an ordered key-value store behind one interface, in memory and on LMDB."""
