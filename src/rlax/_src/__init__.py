"""Old paths, kept so that pickles of the reference load; import nothing from here."""
