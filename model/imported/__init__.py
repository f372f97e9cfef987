"""Published encoder-decoder checkpoints (Hugging Face folders) behind the Network interface.

No code from a folder is run: its config is read as values, its weights as safetensors, into
classes of transformers. checkpoint.py reads a folder, network.py is the adapter, export.py writes
the folder format that CrossRay's own checkpoints have.
"""
