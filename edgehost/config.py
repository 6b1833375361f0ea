"""One TOML file becomes frozen dataclasses; every limit has a unit and a reason."""
