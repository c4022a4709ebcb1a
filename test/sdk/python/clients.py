"""The vendors' Python SDKs, with their defaults, against a running gateway: one line of JSON for each thing they did."""

import json
import sys
import traceback

import anthropic
import openai
from google import genai
from google.genai import types

URL = sys.argv[1]
CHAT = sys.argv[2].split(",")
EMBEDDINGS = sys.argv[3].split(",")

chat = openai.OpenAI(base_url=f"{URL}/v1", api_key="anything", max_retries=0)
messages = anthropic.Anthropic(base_url=URL, api_key="anything", max_retries=0)
google = genai.Client(api_key="anything", http_options=types.HttpOptions(base_url=URL))
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ASKED = 'call:weather{"city":"Graz"}'


def report(name, work):
    try:
        work()
        print(json.dumps({"name": name}), flush=True)
    except Exception:  # what went wrong is for the test to tell
        print(json.dumps({"name": name, "error": traceback.format_exc()[-2000:]}), flush=True)


def openai_chat(model):
    user = [{"role": "user", "content": "hello"}]
    whole = chat.chat.completions.create(model=model, messages=user)
    assert whole.choices[0].message.content == "echo: hello", whole
    assert whole.usage.total_tokens > 0
    text = ""
    for chunk in chat.chat.completions.create(model=model, messages=user, stream=True):
        text += chunk.choices[0].delta.content or "" if chunk.choices else ""
    assert text == "echo: hello", text
    tools = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]
    with chat.chat.completions.stream(model=model, messages=[{"role": "user", "content": ASKED}], tools=tools) as stream:
        call = stream.get_final_completion().choices[0].message.tool_calls[0].function
    assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Graz"}), call


def openai_responses(model):
    whole = chat.responses.create(model=model, input="hello")
    assert whole.output_text == "echo: hello" and whole.status == "completed", whole
    with chat.responses.stream(model=model, input="hello") as stream:
        for _ in stream:
            pass
        assert stream.get_final_response().output_text == "echo: hello"


def anthropic_messages(model):
    user = [{"role": "user", "content": "hello"}]
    whole = messages.messages.create(model=model, max_tokens=64, messages=user)
    assert whole.content[0].text == "echo: hello" and whole.stop_reason == "end_turn", whole
    with messages.messages.stream(model=model, max_tokens=64, messages=user) as stream:
        assert "".join(stream.text_stream) == "echo: hello"
        final = stream.get_final_message()
    assert final.usage.input_tokens > 0 and final.usage.output_tokens > 0, final.usage
    tools = [{"name": "weather", "input_schema": SCHEMA}]
    called = messages.messages.create(
        model=model, max_tokens=99, tools=tools, messages=[{"role": "user", "content": ASKED}]
    )
    use = next(block for block in called.content if block.type == "tool_use")
    assert (use.name, use.input) == ("weather", {"city": "Graz"}), called
    assert messages.messages.count_tokens(model=model, messages=user).input_tokens > 0


def google_generate(model):
    whole = google.models.generate_content(model=model, contents="hello")
    assert whole.text == "echo: hello", whole
    pieces = google.models.generate_content_stream(model=model, contents="hello")
    assert "".join(piece.text or "" for piece in pieces) == "echo: hello"


def embeddings(model, dimensions):
    # The SDK asks for base64 by itself, and turns it into numbers.
    answer = chat.embeddings.create(model=model, input=["one", "two"], dimensions=dimensions)
    assert [len(each.embedding) for each in answer.data] == [dimensions] * 2
    assert all(isinstance(value, float) for each in answer.data for value in each.embedding)
    floats = chat.embeddings.create(model=model, input=["one", "two"], dimensions=dimensions, encoding_format="float")
    for one, other in zip(answer.data, floats.data):
        assert all(abs(a - b) < 1e-6 for a, b in zip(one.embedding, other.embedding))


for model in CHAT:
    report(f"openai chat, {model}", lambda: openai_chat(model))
    report(f"openai responses, {model}", lambda: openai_responses(model))
    report(f"anthropic messages, {model}", lambda: anthropic_messages(model))
    report(f"google generate, {model}", lambda: google_generate(model))
for model in EMBEDDINGS:
    report(f"openai embeddings, {model}", lambda: embeddings(model, 16))


def wrong_dimensions():
    try:
        chat.embeddings.create(model=EMBEDDINGS[0], input="x", dimensions=-1)
    except openai.BadRequestError:
        return
    raise AssertionError("it was taken")


report("openai embeddings, dimensions that cannot be", wrong_dimensions)
