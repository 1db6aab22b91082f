"""The Cell Painting Gallery: where plates, metadata and published profiles lie."""
