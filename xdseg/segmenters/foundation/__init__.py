"""What segmenters on frozen foundation models share: encoders, neck, decoders, text; MFuser and others build on it."""
