"""The enclave's answers: verified online, kept as proofs, and judged again offline."""
