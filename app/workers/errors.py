"""Errors of waiting for a model."""

from model.errors import CrossRayError

__all__ = ["NotReady", "Unwanted", "WorkerDied", "WorkerLost"]


class NotReady(CrossRayError):
    """The model is not loaded yet, or the service is stopping."""


class WorkerLost(CrossRayError):
    """The process with the model ended twice over one request, or none can be started."""


class WorkerDied(CrossRayError):
    """A model's process ended during its work. Its requests are tried again: no client sees it."""


class Unwanted(CrossRayError):
    """Nobody waits for the report any more: what is written of it is let be."""
