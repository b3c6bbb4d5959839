"""What a caller holds: a connection to one server, and the attested session behind it."""
