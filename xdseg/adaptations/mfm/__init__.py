"""Masked Feature Modeling: what hides and rebuilds cells of maps (`rebuilder`), and the term that trains by it."""
