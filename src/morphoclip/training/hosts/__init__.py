"""Several hosts that train one model."""
