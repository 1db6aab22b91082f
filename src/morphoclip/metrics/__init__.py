"""Metrics of arrays and tables, each beside its value by chance."""
