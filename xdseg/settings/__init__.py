"""Typed settings of every component. Light to import: no torch, so that a Snakefile can read them."""
