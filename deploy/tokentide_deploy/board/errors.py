"""What the board refuses or cannot do, as the browser is told it."""


class BoardError(Exception):
    """`message` says what is wrong and what to do; `status` is the HTTP status of the answer."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class RequestError(BoardError):
    """The request names something that is not there, or asks for what the board does not do."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message, status)


class QueryError(BoardError):
    """The store refused the query or stopped it; `message` is the store's own."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 422)


class StoreDownError(BoardError):
    """The store does not answer."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 503)
