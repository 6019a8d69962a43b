"""XDSeg: how well does a semantic segmentation method hold when the domain changes?

The stages of the benchmark (prepare, train, predict, score, record, report) are commands of `xdseg`, wired by the
Snakefile. Importing this package is cheap; torch is imported only by what trains or predicts.
"""

__version__ = "0.1.0"
