"""Modules described outside of a run, built where they are first used."""
