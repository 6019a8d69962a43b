"""From trained weights and images to predictions, confusion matrices and scores."""
