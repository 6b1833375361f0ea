"""Boards: lines to them, images for them, and one programmer for each protocol of their bootloaders."""
