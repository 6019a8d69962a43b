"""A reconstruction of TMT: regions, what adaptation needs of them (ACTE), and attention led there (TMA)."""
