"""Generated protobuf messages; `nox -s protos` writes them from `proto/`."""
