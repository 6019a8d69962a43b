"""ViT-Adapter and Mask2Former, and the steps of EoMT's ladder between them and EoMT."""
