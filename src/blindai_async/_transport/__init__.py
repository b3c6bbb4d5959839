"""How bytes reach a server and come back: channels, calls, deadlines, and gRPC's errors mapped."""
