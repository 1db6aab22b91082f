"""Training: one loop, and everything that changes while it runs."""
