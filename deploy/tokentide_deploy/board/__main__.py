"""``python -m tokentide_deploy.board``."""

import sys

from tokentide_deploy.board.server import main

if __name__ == "__main__":
    sys.exit(main())
