"""What lies in results/ and what becomes of it, read from files alone: no Snakemake, no torch, no waiting."""
