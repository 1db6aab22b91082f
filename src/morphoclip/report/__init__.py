"""What a run is told as: figures, and one page."""
