"""A kept report as a document: plain text, and PDF."""
