"""MFuser: two frozen encoders that co-adapters connect (Zhang & Tan, CVPR 2025)."""
