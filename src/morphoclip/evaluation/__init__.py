"""What a trained model is worth, and what it finds: from wells and profiles to tables."""
