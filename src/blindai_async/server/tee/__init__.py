"""Where the server's evidence comes from."""
