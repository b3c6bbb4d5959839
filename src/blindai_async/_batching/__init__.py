"""Concurrent predictions joined into one request, and the answer split again."""
