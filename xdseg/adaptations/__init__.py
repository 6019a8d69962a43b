"""What a method changes in training, behind one contract (`contract.py`), one adaptation per file."""
