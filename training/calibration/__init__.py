"""Probabilities that are calibrated, and how well."""
