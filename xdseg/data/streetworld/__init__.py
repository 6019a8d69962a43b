"""streetworld: generated street scenes in perspective, with exact labels, in five domains of one label space."""
