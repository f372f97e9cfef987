"""What the anatomy network finds, and how large the square is that it sees."""

__all__ = ["PARTS", "SIZE"]

PARTS = ("right_lung", "left_lung", "heart", "mediastinum", "spine", "clavicles", "ribs")
"""In the order of the network's outputs; right and left are the patient's. Ribs are the posterior
ones, a lung is the field beside heart and mediastinum and above the dome of the diaphragm."""
SIZE = 128
"""Side in pixels of the square that the network sees; a multiple of 32."""
