"""HRDA: context at a low resolution, details at a high one, and an attention that chooses between them."""
