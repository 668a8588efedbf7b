"""What the official openai package for Python must be able to do through the gateway, unchanged."""

import json
import os
import time
import unittest
import urllib.request

import openai

MODEL = os.environ["MODEL"]
EMBEDDER = os.environ["EMBEDDER"]
ENGINE = os.environ["ENGINE"]
URL = os.environ["GATEWAY"] + "/v1"
# Of vLLM, beside OpenAI's parameters: nothing but the limit ends the answer.
ENDLESS = {"ignore_eos": True}
MESSAGES = [{"role": "user", "content": "Tell me about the sea."}]
# Without "strict" vLLM lets a model give a tool anything that is JSON.
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "strict": True,
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CHOICE = {"type": "function", "function": {"name": "get_weather"}}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "population": {"type": "integer"}},
    "required": ["city", "population"],
    "additionalProperties": False,
}


def running() -> float:
    with urllib.request.urlopen(ENGINE + "/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("vllm:num_requests_running{"))


def idle_within(seconds: float) -> bool:
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if running() == 0:
            return True
        time.sleep(0.01)
    return False


class Suite(unittest.TestCase):
    def setUp(self) -> None:
        self.client = openai.OpenAI(base_url=URL, api_key=os.environ["KEY"], max_retries=0)

    def tearDown(self) -> None:
        self.client.close()

    def test_chat(self) -> None:
        answer = self.client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=12)
        self.assertTrue(answer.choices[0].message.content)
        self.assertEqual(answer.usage.completion_tokens, 12)
        self.assertTrue(answer._request_id)

    def test_stream(self) -> None:
        options = {"model": MODEL, "messages": MESSAGES, "max_tokens": 12, "seed": 5}
        whole = self.client.chat.completions.create(**options)
        chunks = list(self.client.chat.completions.create(**options, stream=True))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        self.assertEqual(text, whole.choices[0].message.content)
        self.assertTrue(all(chunk.usage is None for chunk in chunks))

    def test_stream_with_usage(self) -> None:
        chunks = list(
            self.client.chat.completions.create(
                model=MODEL, messages=MESSAGES, max_tokens=12, stream=True, stream_options={"include_usage": True}
            )
        )
        self.assertEqual(chunks[-1].choices, [])
        self.assertEqual(chunks[-1].usage.completion_tokens, 12)

    def test_tools(self) -> None:
        answer = self.client.chat.completions.create(
            model=MODEL, messages=MESSAGES, tools=[TOOL], tool_choice=CHOICE
        )
        call = answer.choices[0].message.tool_calls[0]
        self.assertEqual(call.function.name, "get_weather")
        self.assertIn("city", json.loads(call.function.arguments))

    def test_tools_in_a_stream(self) -> None:
        with self.client.chat.completions.stream(
            model=MODEL, messages=MESSAGES, tools=[TOOL], tool_choice=CHOICE
        ) as stream:
            call = stream.get_final_completion().choices[0].message.tool_calls[0]
        self.assertIn("city", json.loads(call.function.arguments))

    def test_structured_output(self) -> None:
        answer = self.client.chat.completions.create(
            model=MODEL,
            messages=MESSAGES,
            response_format={"type": "json_schema", "json_schema": {"name": "city", "schema": SCHEMA, "strict": True}},
        )
        value = json.loads(answer.choices[0].message.content)
        self.assertEqual(sorted(value), ["city", "population"])
        self.assertIsInstance(value["population"], int)

    def test_completions(self) -> None:
        options = {"model": MODEL, "prompt": "Once", "max_tokens": 8, "seed": 1}
        whole = self.client.completions.create(**options)
        parts = [chunk.choices[0].text for chunk in self.client.completions.create(**options, stream=True)]
        self.assertEqual("".join(parts), whole.choices[0].text)

    def test_embeddings(self) -> None:
        decoded = self.client.embeddings.create(model=EMBEDDER, input=["sea", "mountain"])
        plain = self.client.embeddings.create(model=EMBEDDER, input="sea", encoding_format="float")
        self.assertEqual(len(decoded.data), 2)
        self.assertAlmostEqual(decoded.data[0].embedding[0], plain.data[0].embedding[0], places=5)

    def test_models(self) -> None:
        self.assertEqual([model.id for model in self.client.models.list()], [MODEL, EMBEDDER])
        self.assertEqual(self.client.models.retrieve(EMBEDDER).id, EMBEDDER)

    def test_errors_are_the_packages_own_classes(self) -> None:
        stranger = openai.OpenAI(base_url=URL, api_key="sk-no", max_retries=0)
        self.addCleanup(stranger.close)
        chat = self.client.chat.completions.create
        cases = [
            (openai.AuthenticationError, stranger.models.list),
            (openai.NotFoundError, lambda: chat(model="nope", messages=MESSAGES)),
            (openai.BadRequestError, lambda: chat(model=MODEL, messages=[])),
            (openai.BadRequestError, lambda: chat(model=MODEL, messages=MESSAGES, max_tokens=-1)),
        ]
        for expected, attempt in cases:
            with self.subTest(expected.__name__), self.assertRaises(expected) as caught:
                attempt()
            self.assertTrue(caught.exception.request_id)
            self.assertTrue(caught.exception.code)

    def test_leaving_a_stream_ends_the_engines_work(self) -> None:
        stream = self.client.chat.completions.create(
            model=MODEL, messages=MESSAGES, max_tokens=5000, stream=True, extra_body=ENDLESS
        )
        next(iter(stream))
        self.assertEqual(running(), 1)
        stream.close()
        self.assertTrue(idle_within(1))

    def test_a_timeout_of_the_client_ends_the_engines_work(self) -> None:
        with self.assertRaises(openai.APITimeoutError):
            self.client.with_options(timeout=0.3).chat.completions.create(
                model=MODEL, messages=MESSAGES, max_tokens=5000, extra_body=ENDLESS
            )
        self.assertTrue(idle_within(1))


if __name__ == "__main__":
    unittest.main(verbosity=2)
