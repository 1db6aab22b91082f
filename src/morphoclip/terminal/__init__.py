"""Commands that need a packed model and no project: ``morphoclip search`` and ``explore``."""
