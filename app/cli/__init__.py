"""The command `crossray`, one file a group of commands."""
