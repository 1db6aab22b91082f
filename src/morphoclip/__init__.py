"""MorphoCLIP: match Cell Painting images with text about the treatment."""

__version__ = "0.1.0"
