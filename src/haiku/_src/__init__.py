"""Paths that pickles of old programs name. New code imports nothing from here."""
