"""Reading report text by rules: sentences, findings, sides, negation."""
