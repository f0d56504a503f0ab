"""An OpenAI- and Anthropic-compatible provider for the tests: what it says about a model's usage is the truth."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

MARKER = "zqx-content-marker"
"""In every prompt, answer, tool argument, error message and free metadata: it must be found nowhere."""


@dataclass(frozen=True)
class Answer:
    """What the provider does for one model name. fail_first: this many requests get `status`, the others the answer."""

    usage: dict[str, Any] | None = None
    status: int = 200
    fail_first: int | None = None
    finish_reason: str = "stop"
    tool_calls: int = 0
    chunks: int = 3
    pause_s: float = 0.0
    breaks: bool = False


def _usage(prompt: int, completion: int, **details: int) -> dict[str, Any]:
    inputs = {name.removeprefix("in_"): n for name, n in details.items() if name.startswith("in_")}
    outputs = {name.removeprefix("out_"): n for name, n in details.items() if name.startswith("out_")}
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": inputs,
        "completion_tokens_details": outputs,
    }


ANSWERS = {
    "gpt-4o": Answer(_usage(123, 45)),
    "gpt-4o-mini": Answer(_usage(2000, 60, in_cached_tokens=1536)),
    "o3-mini": Answer(_usage(70, 400, out_reasoning_tokens=320)),
    "gpt-4o-audio-preview": Answer(_usage(300, 90, in_audio_tokens=200, out_audio_tokens=60)),
    "gpt-4.1": Answer(_usage(210, 30), finish_reason="tool_calls", tool_calls=2),
    "gpt-4.1-mini": Answer(_usage(80, 16), finish_reason="length"),
    "silent": Answer(None),
    "down-401": Answer(status=401),
    "down-429": Answer(status=429),
    "down-500": Answer(status=500),
    "flaky": Answer(_usage(11, 7), status=500, fail_first=2),
    "slow": Answer(_usage(5, 5), pause_s=6.0),
    "breaking": Answer(_usage(9, 9), breaks=True),
    "endless": Answer(_usage(9, 9), chunks=100, pause_s=0.1),
    "text-embedding-3-small": Answer({"prompt_tokens": 17, "total_tokens": 17}),
    "claude-3-5-sonnet-20241022": Answer(
        {"input_tokens": 40, "output_tokens": 25, "cache_creation_input_tokens": 500, "cache_read_input_tokens": 3000}
    ),
}


@dataclass
class Upstream:
    """Serves `ANSWERS` on a free port. asked: requests by model."""

    asked: Counter[str] = field(default_factory=Counter)

    def __enter__(self) -> Self:
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *_arguments: object) -> None:  # noqa: A002
                pass

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                upstream.asked[body["model"]] += 1
                try:
                    _Reply(self, body, upstream.asked[body["model"]]).send()
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"


class _Reply:
    def __init__(self, handler: BaseHTTPRequestHandler, body: dict[str, Any], number: int) -> None:
        self.handler, self.body, self.model = handler, body, body["model"]
        self.answer = ANSWERS[self.model]
        self.is_refused = self.answer.status != 200 and number <= (self.answer.fail_first or number)

    def send(self) -> None:
        answer = self.answer
        if self.is_refused:
            return self._json({"error": {"message": MARKER, "type": "t", "code": "c"}}, answer.status)
        if answer.pause_s and not self.body.get("stream"):
            time.sleep(answer.pause_s)
        if self.handler.path.endswith("/messages"):
            return self._anthropic()
        if self.handler.path.endswith("/embeddings"):
            vector = {"object": "embedding", "index": 0, "embedding": [0.1]}
            return self._json({"object": "list", "model": self.model, "data": [vector], "usage": answer.usage})
        if self.body.get("stream"):
            return self._stream()
        return self._json(self._completion())

    def _completion(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": MARKER}
        if self.answer.tool_calls:
            message["tool_calls"] = self._tool_calls()
        choice = {"index": 0, "message": message, "finish_reason": self.answer.finish_reason}
        whole = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": self.model}
        whole |= {"choices": [choice]}
        return whole | ({"usage": self.answer.usage} if self.answer.usage else {})

    def _tool_calls(self) -> list[dict[str, Any]]:
        function = {"name": "look_up", "arguments": json.dumps({"q": MARKER})}
        return [
            {"id": f"call-{n}", "index": n, "type": "function", "function": function}
            for n in range(self.answer.tool_calls)
        ]

    def _stream(self) -> None:
        base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": self.model}
        self._begin_events()
        for _ in range(self.answer.chunks):
            delta: dict[str, Any] = {"role": "assistant", "content": f"{MARKER} "}
            self._event({**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
            time.sleep(self.answer.pause_s)
        if self.answer.breaks:
            self.handler.close_connection = True
            return
        last = {"index": 0, "delta": {}, "finish_reason": self.answer.finish_reason}
        if self.answer.tool_calls:
            called = {"index": 0, "delta": {"tool_calls": self._tool_calls()}, "finish_reason": None}
            self._event({**base, "choices": [called]})
        self._event({**base, "choices": [last]})
        if self.answer.usage and (self.body.get("stream_options") or {}).get("include_usage"):
            self._event({**base, "choices": [], "usage": self.answer.usage})
        self._event("[DONE]")
        self._end_events()

    def _anthropic(self) -> None:
        usage = dict(self.answer.usage or {})
        base = {"id": "msg_1", "type": "message", "role": "assistant", "model": self.model}
        if not self.body.get("stream"):
            said = [{"type": "text", "text": MARKER}]
            return self._json({**base, "content": said, "stop_reason": "end_turn", "usage": usage})
        output = usage["output_tokens"]
        self._begin_events()
        start = {**base, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
        self._event({"type": "message_start", "message": start}, "message_start")
        block = {"type": "text", "text": ""}
        self._event({"type": "content_block_start", "index": 0, "content_block": block}, "content_block_start")
        delta = {"type": "text_delta", "text": MARKER}
        self._event({"type": "content_block_delta", "index": 0, "delta": delta}, "content_block_delta")
        self._event({"type": "content_block_stop", "index": 0}, "content_block_stop")
        end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": output}}
        self._event(end, "message_delta")
        self._event({"type": "message_stop"}, "message_stop")
        return self._end_events()

    def _json(self, value: dict[str, Any], status: int = 200) -> None:
        data = json.dumps(value).encode()
        self.handler.send_response(status)
        self.handler.send_header("content-type", "application/json")
        self.handler.send_header("content-length", str(len(data)))
        self.handler.end_headers()
        self.handler.wfile.write(data)

    def _begin_events(self) -> None:
        self.handler.send_response(200)
        self.handler.send_header("content-type", "text/event-stream")
        self.handler.send_header("transfer-encoding", "chunked")
        self.handler.end_headers()

    def _event(self, value: dict[str, Any] | str, name: str = "") -> None:
        data = value if isinstance(value, str) else json.dumps(value)
        line = f"{f'event: {name}{chr(10)}' if name else ''}data: {data}\n\n".encode()
        self.handler.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.handler.wfile.flush()

    def _end_events(self) -> None:
        self.handler.wfile.write(b"0\r\n\r\n")
