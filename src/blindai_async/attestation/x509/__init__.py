"""Certificates, chains and revocation lists, read strictly."""
