"""The world, one folder per need and one file per technology; siblings never meet."""
