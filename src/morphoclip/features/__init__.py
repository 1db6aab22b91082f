"""Features: what frozen backbones say about sites and prompts."""
