from __future__ import annotations

import pytest

from serve_app.health.reasons import last_line, reason_of

# What Serve 2.60 gives for a constructor that raises, shortened.
TOLD = """The deployment failed to start 3 times in a row. See controller logs for details. Error:
\x1b[36mray::ServeReplica:manta:Model-m.initialize_and_get_metadata()\x1b[39m (pid=1, ip=10.0.0.1)
  File "replica.py", line 1928, in initialize
    raise RuntimeError(traceback.format_exc()) from None
RuntimeError: Traceback (most recent call last):
  File "serve_app/engines/deployment.py", line 32, in __init__
    self._engine = open_model(config)
serve_app.errors.ConfigError: /models/m.gguf: no such file
"""


def test_the_reason_is_the_last_error_of_a_traceback() -> None:
    assert last_line(TOLD) == "/models/m.gguf: no such file"


def test_errors_need_not_be_called_so() -> None:
    assert last_line(TOLD.replace("ConfigError", "Unavailable")) == "/models/m.gguf: no such file"


@pytest.mark.parametrize("text", ["", "A replica's health check failed.", "  File: x", "(a: b"])
def test_a_text_without_an_error_has_no_last_line(text: str) -> None:
    assert last_line(text) == ""


def test_a_status_is_told_with_what_there_is() -> None:
    assert reason_of("DEPLOY_FAILED", TOLD) == "DEPLOY_FAILED: /models/m.gguf: no such file"
    assert reason_of("UNHEALTHY", "A replica's health check failed.\nMore.") == (
        "UNHEALTHY: A replica's health check failed."
    )
    assert reason_of("UPDATING", "") == "UPDATING"
