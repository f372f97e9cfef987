"""What a report generator is: bytes in, words with heatmaps out. Knows no web, no training loop."""
