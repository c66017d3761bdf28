"""What lies on disk: run folders, locks, manifests, row files, atomic writes."""
