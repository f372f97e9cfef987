"""Who is simulated: the sizes of one adult's chest, drawn at random.

Lengths are centimetres, as in data_prep/phantom/anatomy.py. Sizes are those of adult frontal
radiographs: a thorax 24 to 32 cm wide inside, 17 to 29 cm from apex to dome.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["Patient", "sample_patient"]


@dataclass(frozen=True)
class Patient:
    """What is the same in every image of one person at one time."""

    view: str
    half_width: float
    """Inside of the rib cage at its widest, from the midline."""
    wall: float
    """Chest wall between ribs and skin, at the sides."""
    depth: float
    """Front to back, skin to skin."""
    apex: float
    lung_height: float
    dome: float
    """How far the costophrenic angle lies below the top of the diaphragm."""
    cardiothoracic: float
    """Greatest heart width over greatest inner thorax width."""
    heart_shift: float
    turn: float
    """Rotation about the long axis in radians; positive moves the front to the patient's left."""
    age: float
    breasts: float
    """Thickness of breast tissue, 0 for none."""
    bone: float
    """Mineral relative to a young adult."""
    vessel_gain: float
    bubble: float
    """Radius of the gastric air bubble, 0 for none."""
    arms: bool
    degenerative: bool

    @property
    def carina(self) -> float:
        return self.apex + 0.33 * self.lung_height

    @property
    def base(self) -> dict[str, float]:
        """y of the top of each half of the diaphragm; the left lies lower."""
        low = self.apex + self.lung_height
        return {"right": low, "left": low + 0.9}

    def zone(self, y: float) -> str:
        third = (y - self.apex) / (self.lung_height + 0.5 * self.dome)
        return "upper" if third < 0.36 else "mid" if third < 0.66 else "lower"


def sample_patient(
    rng: np.random.Generator,
    heart: tuple[float, float] = (0.40, 0.485),
    hyperinflated: bool = False,
    congested: bool = False,
    portable: float = 0.3,
) -> Patient:
    """Draw a person. `heart` bounds the cardiothoracic ratio; `portable` the probability of AP."""
    supine = rng.random() < portable
    size = rng.normal(0, 1)
    age = rng.uniform(18, 92)
    stout = np.clip(rng.normal(0.35, 0.3), 0, 1.2)
    height = rng.uniform(18.5, 24.0) + 0.7 * size - (rng.uniform(0, 2.5) if supine else 0)
    return Patient(
        view="AP" if supine else "PA",
        half_width=float(np.clip(13.6 + 0.8 * size + rng.normal(0, 0.4), 11.8, 16.0)),
        wall=1.6 + 3.2 * stout,
        depth=20 + 7 * stout + size + (2.5 if hyperinflated else 0),
        apex=rng.uniform(4.2, 7.0),
        lung_height=rng.uniform(25.5, 28.5) if hyperinflated else max(height, 16.5),
        dome=rng.uniform(0.8, 1.5) if hyperinflated else rng.uniform(3.0, 4.8),
        cardiothoracic=rng.uniform(*heart) - (0.05 if hyperinflated else 0),
        heart_shift=rng.normal(0, 0.4),
        turn=rng.normal(0, 0.045),
        age=age,
        breasts=rng.uniform(0.8, 3.2) if rng.random() < 0.42 else 0.0,
        bone=(1.15 - 0.006 * max(age - 40, 0)) * rng.uniform(0.85, 1.15),
        vessel_gain=rng.uniform(1.7, 2.3) if congested else rng.uniform(0.8, 1.2),
        bubble=rng.uniform(1.2, 3.0) if rng.random() < 0.55 else 0.0,
        arms=rng.random() < 0.5,
        degenerative=age > 60 and rng.random() < 0.6,
    )
