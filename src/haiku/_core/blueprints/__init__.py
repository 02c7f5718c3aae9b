"""Modules described outside of a run and built where they are first used."""
