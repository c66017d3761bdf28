"""Sources of unlabelled images."""
