"""Simulated chest studies with exact truth."""
