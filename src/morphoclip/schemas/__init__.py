"""Contracts of the catalog's tables: columns in order, their types, what is unique."""
