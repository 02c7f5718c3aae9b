"""Losses, normalisation, averages, updates and subsequences, for every learner."""
