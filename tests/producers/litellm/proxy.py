"""The real LiteLLM proxy as a process, configured as users configure it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Self

import httpx

MODELS = {
    "assistant": "openai/gpt-4o",
    "cheap": "openai/gpt-4o-mini",
    "claude": "anthropic/claude-3-5-sonnet-20241022",
    "endless": "openai/endless",
    "flaky": "openai/flaky",
    "down": "openai/down-500",
    "limited": "openai/down-429",
    "locked": "openai/down-401",
    "slow": "openai/slow",
    "breaking": "openai/breaking",
    "vectors": "openai/text-embedding-3-small",
}


class Proxy:
    """`litellm --config config.yaml` on a free port."""

    def __init__(self, folder: Path, executables: Path, upstream_url: str, variables: dict[str, str]) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
        self.log = folder / "proxy.log"
        shutil.copy(Path(__file__).with_name("proxy_auth.py"), folder)
        (folder / "config.yaml").write_text(json.dumps(_config(upstream_url)))  # JSON is YAML
        command = [executables / "litellm", "--config", "config.yaml", "--host", "127.0.0.1", "--port", str(self.port)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                # On a busy machine a worker begins more slowly than uvicorn's five seconds, and would be killed.
                [*command, "--num_workers", "2", "--timeout_worker_healthcheck", "300"],
                cwd=folder,
                env=variables,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=120, headers=_headers())

    def __enter__(self) -> Self:
        deadline_s = time.monotonic() + 900
        while not self._is_alive():
            assert self.process.poll() is None and time.monotonic() < deadline_s, self.log.read_text()[-3000:]
            time.sleep(0.5)
        return self

    def _is_alive(self) -> bool:
        try:
            return self.client.get("/health/liveliness", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def __exit__(self, *_: object) -> None:
        self.client.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # the workers as well, should they outlive their parent
        self.process.wait()

    def terminate(self) -> int:
        """SIGTERM, as an orchestrator does it, and the exit status."""
        os.kill(self.process.pid, signal.SIGTERM)
        return self.process.wait(90)

    def chat(self, model: str, app: str, marker: str, **more: Any) -> httpx.Response:
        """One chat completion whose event is told apart by its app."""
        return self.client.post("/v1/chat/completions", json=body(model, app, marker, **more))


def body(model: str, app: str, marker: str, **more: Any) -> dict[str, Any]:
    """A request's body; the marker is wherever content can be."""
    metadata = {"app": app, "category": "programming", "note": marker, **more.pop("metadata", {})}
    messages = [{"role": "user", "content": f"{marker} {app}"}]
    return {"model": model, "messages": messages, "user": "bob@example.org", "metadata": metadata, **more}


def _headers() -> dict[str, str]:
    return {"Authorization": "Bearer sk-of-the-team"}


def _config(upstream_url: str) -> dict[str, Any]:
    deployments = [
        {
            "model_name": name,
            "litellm_params": {
                "model": model,
                "api_base": upstream_url if model.startswith("anthropic") else f"{upstream_url}/v1",
                "api_key": "sk-upstream",
                "timeout": 1.0 if name == "slow" else 30.0,
            },
        }
        for name, model in MODELS.items()
    ]
    return {
        "model_list": deployments,
        "litellm_settings": {
            "callbacks": "tokentide_producers.litellm.callback",
            "num_retries": 2,
            "fallbacks": [{"down": ["assistant"]}],
        },
        "router_settings": {"retry_after": 0, "disable_cooldowns": True},
        "general_settings": {"master_key": "sk-master", "custom_auth": "proxy_auth.user_api_key_auth"},
    }
