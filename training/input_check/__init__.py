"""Fits and measures the input check."""
