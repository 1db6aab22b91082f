"""From TIFF files to model input: sites, grey levels, resizing."""
