"""How a pre-trained vision transformer is tuned: in full, not at all, or by a few parameters beside it."""
