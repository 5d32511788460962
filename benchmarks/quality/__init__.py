"""How well are faults found? Ours beside peers; run with ``python -m benchmarks.quality``."""
