"""Frozen encoders of images and text."""
