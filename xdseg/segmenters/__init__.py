"""Networks that label every pixel, behind one contract (`contract.py`), one family per file."""
