"""Running one job: from a claim to an outcome, and from the outcome to its settlement."""
