"""The proxy's `custom_auth` in the tests: a virtual key as a database would describe it. Runs beside LiteLLM."""

from __future__ import annotations

from fastapi import HTTPException, Request
from litellm.proxy._types import UserAPIKeyAuth, hash_token


async def user_api_key_auth(_request: Request, api_key: str) -> UserAPIKeyAuth:
    if api_key != "sk-of-the-team":
        raise HTTPException(status_code=401, detail="zqx-content-marker")
    return UserAPIKeyAuth(
        api_key=hash_token(api_key),
        token=hash_token(api_key),
        key_alias="alias-of-carol",
        user_id="carol@example.org",
        team_id="team-7",
        team_alias="Search team",
    )
