"""Where records and releases live."""
