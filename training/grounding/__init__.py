"""Maps evaluated against boxes."""
