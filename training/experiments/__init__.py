"""What is said of cross-attention, measured: one file an experiment, one command each."""
