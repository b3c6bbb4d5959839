"""What the client costs, each figure as a ratio against an honest opponent in the same run."""
