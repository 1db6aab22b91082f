"""A page to ask a packed model: plates, wells, treatments, and what looks like what."""
