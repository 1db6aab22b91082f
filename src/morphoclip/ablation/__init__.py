"""Ablations: the same training with one thing changed, and whether that exceeds the noise."""
