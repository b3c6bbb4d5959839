"""Models on disk, sealed, in files that nobody else reads."""
