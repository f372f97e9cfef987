"""A prepared folder in, a checkpoint folder and honest numbers about it out."""
