"""Modules: objects whose methods know where they stand on the path."""
