"""Drives the official SDKs of PyPI, and litellm, through every flow that
applications use, and prints what each of them gave: a line of JSON a flow, the
result or the exception. Called twice, directly at the provider and through
gnomon, it must print the same.

    python flows.py http://host:port
"""

import concurrent.futures
import json
import os
import sys
import threading

import anthropic
import litellm
import openai
from pydantic import BaseModel

base = sys.argv[1]
key = os.environ.get("PLANTED_KEY", "sk-test")
prompt = os.environ.get("PLANTED_PROMPT", "Say hello.")
picture = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
user = [{"role": "user", "content": prompt}]
weather = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
chat_tools = [{"type": "function", "function": {"name": "weather", "description": "the weather in a city", "parameters": weather}}]
message_tools = [{"name": "weather", "description": "the weather in a city", "input_schema": weather}]
seeing = [{"role": "user", "content": [{"type": "text", "text": prompt}, {"type": "image_url", "image_url": {"url": "data:image/png;base64," + picture}}]}]

flows = {}

# One each: what a client costs is its certificates' store.
openai_http = openai.DefaultHttpxClient()
anthropic_http = anthropic.DefaultHttpxClient()


class Person(BaseModel):
    name: str
    age: int


def plain(x):
    """What an application can see of an object."""
    if isinstance(x, BaseModel):
        return x.model_dump(mode="json", exclude_unset=True)
    if isinstance(x, (list, tuple)):
        return [plain(y) for y in x]
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    return x


def told(e):
    """What an application can tell an exception by."""
    t = {"class": type(e).__module__.split(".")[0] + "." + type(e).__name__, "message": str(e)}
    for k in ("status_code", "code", "param", "type", "request_id", "body", "llm_provider", "model"):
        v = getattr(e, k, None)
        if v is not None:
            t[k] = plain(v)
    response = getattr(e, "response", None)
    if response is not None and "retry-after" in response.headers:
        t["retry_after"] = response.headers["retry-after"]
    return t


def with_openai(name, f, **options):
    name = "openai-py/" + name
    flows[name] = lambda: f(openai.OpenAI(http_client=openai_http, base_url=base + "/v1", api_key=key, **{"max_retries": 0, **options}, default_headers={"x-flow": name}))


def with_anthropic(name, f, **options):
    name = "anthropic-py/" + name
    flows[name] = lambda: f(anthropic.Anthropic(http_client=anthropic_http, base_url=base, api_key=key, **{"max_retries": 0, **options}, default_headers={"x-flow": name}))


def with_litellm(name, f):
    name = "litellm/" + name
    flows[name] = lambda: f({"extra_headers": {"x-flow": name}, "api_key": key, "num_retries": 0, "max_retries": 0})


def abandoned(stream):
    """Three pieces, then the client leaves."""
    seen = 0
    for _ in stream:
        seen += 1
        if seen == 3:
            stream.close()
            break
    return {"left": seen == 3}


def chat(c, **more):
    return c.chat.completions.create(**{"model": "gpt-4o", "messages": user, **more})


def tools(c):
    first = chat(c, tools=chat_tools)
    message = first.choices[0].message
    answer = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "sunny"}
    return [first, chat(c, tools=chat_tools, messages=[*user, message.model_dump(exclude_unset=True), answer])]


def raw_response(c):
    r = c.chat.completions.with_raw_response.create(model="gpt-4o", messages=user)
    return [r.status_code, r.headers["x-ratelimit-remaining-requests"], r.request_id, r.parse()]


def stream_helper(c, **more):
    with c.chat.completions.stream(model="gpt-4o", messages=user, **more) as s:
        kinds = [e.type for e in s]
        return [kinds, s.get_final_completion()]


with_openai("plain", chat)
with_openai("raw-response", raw_response)
with_openai("stream", lambda c: list(chat(c, stream=True)))
with_openai("stream-with-usage", lambda c: list(chat(c, stream=True, stream_options={"include_usage": True})))
with_openai("stream-helper", stream_helper)
with_openai("tools", tools)
with_openai("tools-stream", lambda c: stream_helper(c, tools=chat_tools))
with_openai("vision", lambda c: chat(c, messages=seeing))
with_openai("structured", lambda c: c.chat.completions.parse(model="gpt-4o", messages=user, response_format=Person))
with_openai("structured-stream", lambda c: stream_helper(c, response_format=Person))
with_openai("responses", lambda c: c.responses.create(model="gpt-4o", input=prompt))
with_openai("responses-stream", lambda c: list(c.responses.create(model="gpt-4o", input=prompt, stream=True)))
with_openai("embeddings", lambda c: c.embeddings.create(model="text-embedding-3-small", input=prompt))
with_openai("models", lambda c: list(c.models.list()))
with_openai("upload", lambda c: c.files.create(file=("a.jsonl", prompt.encode() * 1000), purpose="batch"))
with_openai("retry", chat, max_retries=2)
with_openai("retry-stream", lambda c: list(chat(c, stream=True)), max_retries=2)
with_openai("abort", lambda c: abandoned(chat(c, stream=True)))
with_openai("timeout", chat, timeout=0.3)
with_openai("error-in-stream", lambda c: list(chat(c, stream=True)))
with_openai("dies-in-stream", lambda c: list(chat(c, stream=True)))
with_openai("dies-in-body", chat)
with_openai("not-json", chat)
for status in (400, 401, 403, 404, 409, 413, 422, 429, 500, 503):
    with_openai(f"error-{status}", chat)


def message(c, **more):
    return c.messages.create(**{"model": "claude-sonnet-4-20250514", "max_tokens": 100, "messages": user, **more})


def message_tool_turns(c):
    first = message(c, tools=message_tools)
    result = {"type": "tool_result", "tool_use_id": first.content[-1].id, "content": "sunny"}
    said = [b.model_dump(exclude_unset=True) for b in first.content]
    return [first, message(c, tools=message_tools, messages=[*user, {"role": "assistant", "content": said}, {"role": "user", "content": [result]}])]


def message_stream(c, **more):
    with c.messages.stream(**{"model": "claude-sonnet-4-20250514", "max_tokens": 100, "messages": user, **more}) as s:
        kinds = [e.type for e in s]
        return [kinds, s.get_final_message()]


with_anthropic("plain", message)
with_anthropic("stream", lambda c: list(message(c, stream=True)))
with_anthropic("stream-helper", message_stream)
with_anthropic("tools", message_tool_turns)
with_anthropic("tools-stream", lambda c: message_stream(c, tools=message_tools))
with_anthropic("vision", lambda c: message(c, messages=[{"role": "user", "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": picture}}, {"type": "text", "text": prompt}]}]))
with_anthropic("structured", lambda c: message(c, tools=message_tools, tool_choice={"type": "tool", "name": "weather"}))
with_anthropic("thinking-stream", lambda c: message_stream(c, max_tokens=2000, thinking={"type": "enabled", "budget_tokens": 1024}))
with_anthropic("count", lambda c: c.messages.count_tokens(model="claude-sonnet-4-20250514", messages=user))
with_anthropic("models", lambda c: list(c.models.list()))
with_anthropic("retry", message, max_retries=2)
with_anthropic("abort", lambda c: abandoned(message(c, stream=True)))
with_anthropic("timeout", message, timeout=0.3)
with_anthropic("error-in-stream", lambda c: list(message(c, stream=True)))
with_anthropic("dies-in-stream", lambda c: list(message(c, stream=True)))
for status in (400, 401, 403, 404, 413, 422, 429, 500, 529):
    with_anthropic(f"error-{status}", message)


def lite(o, model="openai/gpt-4o", **more):
    at = base + "/v1" if model.startswith("openai/") else base
    return litellm.completion(**{"model": model, "api_base": at, "messages": user, **o, **more})


def steady(x):
    """litellm's answers without what it makes up: ids and times of its own."""
    d = plain(x)
    for y in d if isinstance(d, list) else [d]:
        y.pop("id", None)
        y.pop("created", None)
    return d


claude = "anthropic/claude-sonnet-4-20250514"
for vendor, model in (("openai", "openai/gpt-4o"), ("anthropic", claude)):
    with_litellm(vendor + "-plain", lambda o, m=model: steady(lite(o, m)))
    with_litellm(vendor + "-stream", lambda o, m=model: steady(list(lite(o, m, stream=True))))
    with_litellm(vendor + "-tools", lambda o, m=model: steady(lite(o, m, tools=chat_tools)))
    with_litellm(vendor + "-vision", lambda o, m=model: steady(lite(o, m, messages=seeing)))
with_litellm("structured", lambda o: steady(lite(o, response_format=Person)))
with_litellm("timeout", lambda o: lite(o, timeout=0.4))
for status in (400, 401, 404, 429, 500, 503):
    with_litellm(f"error-{status}", lite)
with_litellm("error-429-anthropic", lambda o: lite(o, claude))

litellm.suppress_debug_info = True
litellm.telemetry = False
out = threading.Lock()


def one(name):
    line = {"flow": name}
    try:
        line["result"] = plain(flows[name]())
    except Exception as e:  # what is thrown is what is looked at
        line["error"] = told(e)
    with out:
        print(json.dumps(line, default=str), flush=True)


with concurrent.futures.ThreadPoolExecutor(6) as pool:
    list(pool.map(one, flows))
