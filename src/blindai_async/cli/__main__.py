"""`python -m blindai_async.cli`: the same as `blindai-async`."""

import sys

from blindai_async.cli import main

if __name__ == "__main__":
    sys.exit(main())
