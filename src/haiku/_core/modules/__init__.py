"""Modules: objects whose methods know their place on the module path."""
