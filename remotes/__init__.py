"""Where components come from: the TUF trust engine, one file per transport, and the publisher."""
