"""``python -m tokentide_deploy.store``."""

import sys

from tokentide_deploy.store.server import main

if __name__ == "__main__":
    sys.exit(main())
