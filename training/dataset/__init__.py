"""Prepared folders in memory, as batches."""
