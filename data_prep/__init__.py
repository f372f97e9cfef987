"""Public datasets, and the phantom, made into one prepared folder."""
