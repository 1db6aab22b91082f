"""Catalog datasets: they own file names and formats, and write whole files or none."""
