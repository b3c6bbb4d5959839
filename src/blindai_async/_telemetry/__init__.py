"""What a connection counts about itself."""
