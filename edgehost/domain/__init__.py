"""Pure nouns and tables: no I/O, no clock, no event loop, no log."""
