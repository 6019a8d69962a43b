"""Readers of public data sets as extracted from their downloads: where files lie, and what their label ids mean."""
