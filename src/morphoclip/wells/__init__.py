"""Wells as the model takes them: packed sites, prompts, labels."""
