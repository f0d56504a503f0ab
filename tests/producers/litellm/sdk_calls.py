"""Runs in LiteLLM's environment: every case through the real SDK, told apart by the event's `app`.

Usage: sdk_calls.py UPSTREAM_URL [CASE ...]
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import litellm

import tokentide_producers.litellm

MARKER = "zqx-content-marker"
URL = sys.argv[1]
CASES: dict[str, Callable[[dict[str, Any]], Awaitable[Any]]] = {}
TOOL = {"type": "function", "function": {"name": "look_up", "description": MARKER, "parameters": {}}}


def case(function: Callable[[dict[str, Any]], Awaitable[Any]]) -> None:
    CASES[function.__name__] = function


def expects_error(function: Callable[[dict[str, Any]], Awaitable[Any]]) -> None:
    async def run(call: dict[str, Any]) -> None:
        try:
            await function(call)
        except Exception as error:  # noqa: BLE001
            sys.stdout.write(f"{function.__name__} {type(error).__name__}\n")
        else:
            raise AssertionError(f"{function.__name__} did not fail")

    CASES[function.__name__] = run


async def read(stream: Any) -> None:
    async for _ in stream:
        pass


def router(models: dict[str, str], **settings: Any) -> litellm.Router:
    deployments = [
        {"model_name": name, "litellm_params": {"model": model, "api_base": f"{URL}/v1", "api_key": "sk-upstream"}}
        for name, model in models.items()
    ]
    return litellm.Router(model_list=deployments, retry_after=0, **settings)


def asked(call: dict[str, Any]) -> dict[str, Any]:
    return {"messages": call["messages"], "metadata": call["metadata"]}


@case
async def chat(call: dict[str, Any]) -> None:
    call["metadata"] |= {"category": "programming", "session_id": "session-1", "tags": ["language:de", "x"]}
    await litellm.acompletion(model="openai/gpt-4o", user="alice@example.org", **call)


@case
async def sync_chat(call: dict[str, Any]) -> None:
    await asyncio.to_thread(litellm.completion, model="openai/gpt-4o", user="alice@example.org", **call)


@case
async def cached(call: dict[str, Any]) -> None:
    await litellm.acompletion(model="openai/gpt-4o-mini", **call)


@case
async def reasoning(call: dict[str, Any]) -> None:
    await litellm.acompletion(model="openai/o3-mini", **call)


@case
async def audio(call: dict[str, Any]) -> None:
    await litellm.acompletion(model="openai/gpt-4o-audio-preview", **call)


@case
async def tools(call: dict[str, Any]) -> None:
    await litellm.acompletion(model="openai/gpt-4.1", tools=[TOOL, TOOL, TOOL], **call)


@case
async def tools_streamed(call: dict[str, Any]) -> None:
    options = {"include_usage": True}
    await read(
        await litellm.acompletion(model="openai/gpt-4.1", tools=[TOOL], stream=True, stream_options=options, **call)
    )


@case
async def length(call: dict[str, Any]) -> None:
    await litellm.acompletion(model="openai/gpt-4.1-mini", **call)


@case
async def anthropic(call: dict[str, Any]) -> None:
    await litellm.acompletion(model="anthropic/claude-3-5-sonnet-20241022", **call | {"api_base": URL})


@case
async def anthropic_streamed(call: dict[str, Any]) -> None:
    await read(
        await litellm.acompletion(model="anthropic/claude-3-5-sonnet-20241022", stream=True, **call | {"api_base": URL})
    )


@case
async def streamed(call: dict[str, Any]) -> None:
    options = {"include_usage": True}
    await read(await litellm.acompletion(model="openai/gpt-4o", stream=True, stream_options=options, **call))


@case
async def streamed_without_asking_for_usage(call: dict[str, Any]) -> None:
    await read(await litellm.acompletion(model="hosted_vllm/gpt-4o", stream=True, **call))


@case
async def silent_streamed(call: dict[str, Any]) -> None:
    await read(await litellm.acompletion(model="openai/silent", stream=True, **call))


@case
async def silent_streamed_and_estimated(call: dict[str, Any]) -> None:
    await read(await litellm.acompletion(model="hosted_vllm/silent", stream=True, **call))


@case
async def silent(call: dict[str, Any]) -> None:
    await litellm.acompletion(model="openai/silent", **call)


@case
async def sync_streamed(call: dict[str, Any]) -> None:
    def work() -> None:
        for _ in litellm.completion(model="openai/gpt-4o", stream=True, stream_options={"include_usage": True}, **call):
            pass

    await asyncio.to_thread(work)


@case
async def embedding(call: dict[str, Any]) -> None:
    call.pop("messages")
    await litellm.aembedding(model="openai/text-embedding-3-small", input=[MARKER], **call)


@expects_error
async def error_401(call: dict[str, Any]) -> None:
    await litellm.acompletion(model="openai/down-401", max_retries=0, **call)


@expects_error
async def error_429(call: dict[str, Any]) -> None:
    await litellm.acompletion(model="openai/down-429", max_retries=0, **call)


@expects_error
async def error_500(call: dict[str, Any]) -> None:
    await litellm.acompletion(model="openai/down-500", max_retries=0, **call)


@expects_error
async def sync_error(call: dict[str, Any]) -> None:
    await asyncio.to_thread(litellm.completion, model="openai/down-500", max_retries=0, **call)


@expects_error
async def timeout(call: dict[str, Any]) -> None:
    await litellm.acompletion(model="openai/slow", max_retries=0, timeout=0.5, **call)


@expects_error
async def broken_stream(call: dict[str, Any]) -> None:
    await read(await litellm.acompletion(model="openai/breaking", stream=True, **call))


@case
async def cancelled(call: dict[str, Any]) -> None:
    stream = await litellm.acompletion(model="openai/endless", stream=True, **call)
    async for _ in stream:
        break


@case
async def cancelled_task(call: dict[str, Any]) -> None:
    async def work(first: asyncio.Event) -> None:
        async for _ in await litellm.acompletion(model="openai/endless", stream=True, **call):
            first.set()

    first = asyncio.Event()
    task = asyncio.create_task(work(first))
    await first.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@case
async def retried(call: dict[str, Any]) -> None:
    await router({"group": "openai/flaky"}, num_retries=2).acompletion(model="group", **asked(call))


@case
async def fallen_back(call: dict[str, Any]) -> None:
    models = {"first": "openai/down-500", "second": "openai/gpt-4o"}
    await router(models, num_retries=1, fallbacks=[{"first": ["second"]}]).acompletion(model="first", **asked(call))


@expects_error
async def all_failed(call: dict[str, Any]) -> None:
    await router({"group": "openai/down-500"}, num_retries=1).acompletion(model="group", **asked(call))


@expects_error
async def sync_all_failed(call: dict[str, Any]) -> None:
    routed = router({"group": "openai/down-500"}, num_retries=1)
    await asyncio.to_thread(routed.completion, model="group", **asked(call))


@case
async def sdk_fallback(call: dict[str, Any]) -> None:
    await litellm.acompletion(model="openai/down-500", fallbacks=["openai/gpt-4o"], max_retries=0, **call)


@case
async def priced(call: dict[str, Any]) -> None:
    prices = {"input_cost_per_token": 1e-6, "output_cost_per_token": 3e-6}
    await litellm.acompletion(model="openai/gpt-4o", **prices, **call)


@case
async def cache_hit(call: dict[str, Any]) -> None:
    litellm.cache = litellm.Cache(type="local")
    try:
        await litellm.acompletion(model="openai/gpt-4o", caching=True, **call)
        await asyncio.sleep(0.2)
        await litellm.acompletion(model="openai/gpt-4o", caching=True, **call)
    finally:
        litellm.cache = None


def asks_for_code(call: dict[str, Any]) -> dict[str, Any]:
    said = f"Write a Python function that parses a CSV file and returns a list of dictionaries. {MARKER}"
    return {**call, "messages": [{"role": "user", "content": said}]}


@case
async def tagged(call: dict[str, Any]) -> None:
    call["metadata"]["tags"] = ["team:shop-eu"]
    await litellm.acompletion(model="openai/gpt-4o", **call)


@case
async def about_code(call: dict[str, Any]) -> None:
    await litellm.acompletion(model="openai/gpt-4o", **asks_for_code(call))


@case
async def about_code_streamed(call: dict[str, Any]) -> None:
    await read(await litellm.acompletion(model="openai/gpt-4o", stream=True, **asks_for_code(call)))


@case
async def about_code_sync(call: dict[str, Any]) -> None:
    await asyncio.to_thread(litellm.completion, model="openai/gpt-4o", **asks_for_code(call))


@case
async def about_code_fallen_back(call: dict[str, Any]) -> None:
    models = {"first": "openai/down-500", "second": "openai/gpt-4o"}
    routed = router(models, num_retries=0, fallbacks=[{"first": ["second"]}])
    await routed.acompletion(model="first", **asked(asks_for_code(call)))


@case
async def about_code_redacted(call: dict[str, Any]) -> None:
    litellm.turn_off_message_logging = True
    try:
        await litellm.acompletion(model="openai/gpt-4o", **asks_for_code(call))
        await asyncio.sleep(0.5)
    finally:
        litellm.turn_off_message_logging = False


async def main() -> None:
    litellm.callbacks = [tokentide_producers.litellm.callback]
    for name in sys.argv[2:] or CASES:
        await CASES[name](
            {
                "messages": [{"role": "user", "content": f"{MARKER} {name}"}],
                "api_base": f"{URL}/v1",
                "api_key": "sk-upstream",
                "metadata": {"app": name, "note": MARKER, "text": f"{MARKER}."},
            }
        )
        gc.collect()
    await asyncio.sleep(2)
    sys.stdout.write(f"faults {tokentide_producers.litellm.callback.faults}\n")


asyncio.run(main())
