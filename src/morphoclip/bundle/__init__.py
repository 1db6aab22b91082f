"""A trained model as one folder that needs no project: written, checked, loaded, asked."""
