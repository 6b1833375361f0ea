"""The reference firmware in C, and what prepares its images."""
