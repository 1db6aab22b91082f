"""What was done to the cells: tables of perturbations, wells, and prompts."""
