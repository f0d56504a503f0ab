"""What goes wrong, in ClickHouse's own terms: an error code, a message and the HTTP status of a server's answer."""

from __future__ import annotations

import re

SYNTAX_ERROR = 62
TIMEOUT_EXCEEDED = 159
READONLY = 164
NOT_IMPLEMENTED = 48
CHECKSUM_DOESNT_MATCH = 40
CANNOT_DECOMPRESS = 271
UNKNOWN_COMPRESSION_METHOD = 89
UNKNOWN_SETTING = 115
BAD_ARGUMENTS = 36
NOT_ENOUGH_SPACE = 243
SESSION_NOT_FOUND = 372
SESSION_IS_LOCKED = 373
QUERY_WAS_CANCELLED = 394
ACCESS_DENIED = 497
AUTHENTICATION_FAILED = 516
UNKNOWN_EXCEPTION = 1002

# The server's own mapping (HTTPHandler): everything that is not listed is a 500.
_STATUS_BY_CODE = {
    **dict.fromkeys((6, 27, 36, 38, 41, 43, 44, 50, 53, 62, 70, 72, 89, 115, 117, 130, 131, 271, 40, 376, 457), 400),
    **dict.fromkeys((16, 46, 47, 60, 81, 372), 404),
    **dict.fromkeys((164, 192, 452, 497, 516), 403),
    159: 408,
    373: 423,
    48: 501,
}

_ENGINE_CODE = re.compile(r"Code: (\d+)\. ")
_REPEATED_PREFIX = re.compile(r"(Code: \d+\. DB::(?:\w*Exception): )(?=Code: \d+\. )")
_VERSION_SUFFIX = re.compile(r" ?\(version [^()]*(?:\([^()]*\))?\)")


class StoreError(Exception):
    """An error for the client. ``code`` is ClickHouse's number, ``message`` complete, ``status`` the HTTP one."""

    def __init__(self, code: int, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status if status is not None else _STATUS_BY_CODE.get(code, 500)


def store_error(code: int, name: str, text: str, status: int | None = None) -> StoreError:
    """Builds an error in the server's notation; ``name`` is ClickHouse's symbol, such as ``ACCESS_DENIED``."""
    return StoreError(code, f"Code: {code}. DB::Exception: {text} ({name})", status)


def from_engine(error: BaseException) -> StoreError:
    """Turns what the engine raised into a StoreError: wrappers of the binding and repeated prefixes removed."""
    text = str(error)
    start = text.find("Code: ")
    if start < 0:
        return store_error(UNKNOWN_EXCEPTION, "UNKNOWN_EXCEPTION", text.strip() or type(error).__name__)
    text = _REPEATED_PREFIX.sub("", text[start:])
    text = _VERSION_SUFFIX.sub("", text).strip()
    # A nested exception names its symbol twice; one is enough for a reader.
    text = re.sub(r"(\([A-Z][A-Z0-9_]+\))\.? \1$", r"\1", text)
    match = _ENGINE_CODE.match(text)
    return StoreError(int(match[1]) if match else UNKNOWN_EXCEPTION, text)
