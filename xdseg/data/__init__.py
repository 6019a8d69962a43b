"""Suites on disk, their locks and caches, the generated suite, augmentation and loading."""
