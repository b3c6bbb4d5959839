"""Models loaded and run, and tensors put together for them."""
