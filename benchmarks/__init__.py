"""Ours beside a literal version of the spec, in one process, equal results first."""
