"""Which wells train, validate and test; and whether anything leaks between them."""
