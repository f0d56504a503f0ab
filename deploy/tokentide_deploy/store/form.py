"""Multipart bodies: clients send long query parameters in them (and external tables, which are not supported)."""

from __future__ import annotations

import email.message
import email.parser
import email.policy

from tokentide_deploy.store.errors import BAD_ARGUMENTS, NOT_IMPLEMENTED, store_error


def form_fields(content_type: str, body: bytes) -> dict[str, str]:
    """The text fields of a ``multipart/form-data`` body. Raises StoreError for files and for a damaged body."""
    head = b"Content-Type: " + content_type.encode("latin-1") + b"\r\n\r\n"
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    if not message.is_multipart():
        raise store_error(BAD_ARGUMENTS, "BAD_ARGUMENTS", "The multipart body has no parts: check its boundary.")
    fields: dict[str, str] = {}
    for part in message.get_payload():
        assert isinstance(part, email.message.Message)
        name = part.get_param("name", header="content-disposition")
        if part.get_filename() is not None:
            raise store_error(NOT_IMPLEMENTED, "NOT_IMPLEMENTED", "External tables are not supported here.")
        data = part.get_payload(decode=True)
        if not isinstance(name, str) or not isinstance(data, bytes):
            raise store_error(BAD_ARGUMENTS, "BAD_ARGUMENTS", "A part of the multipart body has no name.")
        try:
            fields[name] = data.decode()
        except UnicodeDecodeError:
            raise store_error(BAD_ARGUMENTS, "BAD_ARGUMENTS", f"The form field {name[:100]} is not UTF-8.") from None
    return fields
