"""Findings of the phantom put into radiographs without any."""
