"""One TOML file per board: data, each fact with its source."""
