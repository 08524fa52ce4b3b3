"""Two models that answer arithmetic from a seed, as an OpenAI server on loopback: to try the benchmark, not a model.

The large one is nearly always right. The small one is right the less often the harder a question is, and its
log-probabilities say so, with noise. Nothing that is measured on them says anything about real models.
"""

from __future__ import annotations

import hashlib
import json
import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from benchmarks.cascade.questions import Question

SMALL, LARGE = "small", "large"


@contextmanager
def stand_in(questions: list[Question], seed: int = 0) -> Iterator[str]:
    """The address of the server while the block runs."""
    known = {question.text: question for question in questions}

    class Handler(BaseHTTPRequestHandler):
        """POST /v1/chat/completions, and GET /v1/models for those who ask whether it is there."""

        def do_GET(self) -> None:
            self._send(
                {"object": "list", "data": [{"id": name, "object": "model"} for name in (SMALL, LARGE)]}
            )

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self._send(_answer(known, body, seed))

        def _send(self, document: Mapping[str, Any]) -> None:
            data = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (its name there)
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def _answer(known: Mapping[str, Question], body: Mapping[str, Any], seed: int) -> dict[str, Any]:
    question = known[body["messages"][-1]["content"]]
    digest = hashlib.sha256(f"{seed}:{body['model']}:{question.text}".encode()).digest()
    rng = random.Random(digest)  # noqa: S311 (answers from a seed)
    difficulty = question.difficulty or 0.0
    chance = 0.98 if body["model"] == LARGE else 1.0 - 0.8 * difficulty
    is_right = rng.random() < chance
    text = question.answers[0] if is_right else str(int(question.answers[0]) + rng.randint(1, 9))
    mean = -0.05 - 0.4 * difficulty - (0.0 if is_right else 0.25) - abs(rng.gauss(0.0, 0.1))
    more: dict[str, Any] = {"bytes": None, "top_logprobs": []}
    tokens = [{"token": char, "logprob": mean, **more} for char in text]
    return {
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "logprobs": {"content": tokens} if body.get("logprobs") else None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": len(question.text.split()), "completion_tokens": len(text)},
    }
