"""How well errors in reports are found: errors put in, thresholds fitted, detection measured."""
