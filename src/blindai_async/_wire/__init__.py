"""Every message on the wire, to values and back."""
