"""Names of a converted model's inputs and outputs that there are as many of as layers."""

__all__ = ["CROSS", "cross_names", "past_names", "present_names"]

CROSS = ("keys.", "values.")
"""What the names of the patches' keys and values begin with."""


def cross_names(layers: int) -> list[str]:
    """The patches' keys and values."""
    return [f"{kind}{layer}" for layer in range(layers) for kind in CROSS]


def past_names(layers: int) -> list[str]:
    """The keys and values of the tokens before."""
    return [f"past_{name}" for name in cross_names(layers)]


def present_names(layers: int) -> list[str]:
    """The keys and values of all tokens so far."""
    return [f"present_{name}" for name in cross_names(layers)]
