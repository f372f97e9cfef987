"""A checkpoint's own reports against the truth."""
