"""What a model is worth, beside what luck would score."""
