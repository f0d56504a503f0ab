"""A small file system for the store that can be filled and freed again."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

BALLAST = "ballast"
PIECES_BYTES = (256 << 20, 16 << 20, 1 << 20, 32 << 10)


class SmallDisk:
    """A tmpfs of its own. `is_available` is False where mounting is not allowed: then it is an ordinary folder."""

    def __init__(self, folder: Path, size_mib: int = 3072) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        options = ["-t", "tmpfs", "-o", f"size={size_mib}m,mode=700", "tokentide-chaos", str(folder)]
        try:
            answer = subprocess.run(["mount", *options], capture_output=True, text=True, timeout=20)
        except OSError as error:
            self.is_available, self.why_not = False, str(error)
            return
        self.is_available, self.why_not = answer.returncode == 0, answer.stderr.strip()

    def fill(self) -> None:
        """Take all space but a few KiB, while the store takes and frees some, too."""
        with (self.folder / BALLAST).open("wb") as ballast:
            end = 0
            for piece_bytes in PIECES_BYTES:
                with contextlib.suppress(OSError):
                    while True:
                        os.posix_fallocate(ballast.fileno(), end, piece_bytes)
                        end += piece_bytes

    def free(self) -> None:
        """Give the space back."""
        (self.folder / BALLAST).unlink(missing_ok=True)

    def unmount(self) -> None:
        """Take the file system away, with what it holds."""
        if self.is_available:
            subprocess.run(["umount", "-l", str(self.folder)], check=True, timeout=20)
            self.is_available = False
