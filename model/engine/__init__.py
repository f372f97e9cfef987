"""OpenVINO instead of PyTorch: the same network several times faster, and without loading torch."""
