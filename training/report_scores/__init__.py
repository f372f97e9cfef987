"""Scores of reports, whoever wrote them."""
