"""What the official openai package for Python must be able to do with files and batches, unchanged."""

import json
import os
import time
import unittest

import openai

MODEL = os.environ["MODEL"]
URL = os.environ["GATEWAY"] + "/v1"
MESSAGES = [{"role": "user", "content": "Tell me about the sea."}]
OVER = {"completed", "failed", "cancelled", "expired"}


def lines(count: int, **extra) -> bytes:
    body = {"model": MODEL, "messages": MESSAGES, "max_tokens": 4, **extra}
    requests = [
        {"custom_id": f"r{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        for number in range(count)
    ]
    return "\n".join(json.dumps(request) for request in requests).encode()


class Suite(unittest.TestCase):
    def setUp(self) -> None:
        self.client = openai.OpenAI(base_url=URL, api_key=os.environ["KEY"], max_retries=0)

    def tearDown(self) -> None:
        self.client.close()

    def create(self, content: bytes):
        file = self.client.files.create(file=("in.jsonl", content), purpose="batch")
        return self.client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"a": "b"}
        )

    def ended(self, batch_id: str):
        limit = time.monotonic() + 60
        while time.monotonic() < limit:
            batch = self.client.batches.retrieve(batch_id)
            if batch.status in OVER:
                return batch
            time.sleep(0.05)
        raise TimeoutError(batch_id)

    def test_a_batch_from_the_upload_to_its_results(self) -> None:
        done = self.ended(self.create(lines(3)).id)
        self.assertEqual(done.status, "completed")
        self.assertEqual((done.request_counts.total, done.request_counts.completed), (3, 3))
        results = self.client.files.content(done.output_file_id).text.strip().split("\n")
        self.assertEqual([json.loads(line)["custom_id"] for line in results], ["r0", "r1", "r2"])
        self.assertEqual(json.loads(results[0])["response"]["status_code"], 200)
        self.assertIn(done.id, [batch.id for batch in self.client.batches.list()])

    def test_a_batch_that_is_cancelled(self) -> None:
        batch = self.create(lines(10, max_tokens=5000, ignore_eos=True))
        self.assertIn(self.client.batches.cancel(batch.id).status, {"cancelling", "cancelled"})
        self.assertEqual(self.ended(batch.id).status, "cancelled")

    def test_files(self) -> None:
        file = self.client.files.create(file=("x.jsonl", b"{}"), purpose="batch")
        self.assertIn(file.id, [other.id for other in self.client.files.list(limit=1)])
        self.assertEqual(self.client.files.retrieve(file.id).bytes, 2)
        self.assertEqual(self.client.files.content(file.id).read(), b"{}")
        self.assertTrue(self.client.files.delete(file.id).deleted)
        with self.assertRaises(openai.NotFoundError):
            self.client.files.retrieve(file.id)


if __name__ == "__main__":
    unittest.main(verbosity=2)
