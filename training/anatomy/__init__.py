"""Trains and measures the anatomy network."""
