"""Weights of EoMT and of its encoders, in the forms that others publish."""
