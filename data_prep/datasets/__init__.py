"""Readers of public data sets and of a folder of your own, one file each."""
