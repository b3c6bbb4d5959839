"""Intel's DCAP evidence: quotes, collateral, TCB levels, and the steps that verify them."""
