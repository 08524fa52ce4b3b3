from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from serve_app.errors import Forbidden
from serve_app.tool_server.browsers import require_no_page


@pytest.mark.parametrize("origin", [None, "http://localhost:3000", "http://127.0.0.1", "https://[::1]:8000"])
def test_programs_and_pages_of_this_machine_may(origin: str | None) -> None:
    require_no_page(Headers({"origin": origin} if origin else {}))


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "http://127.0.0.1.evil.example", "null", "", "http://[", "http://192.168.0.2"],
)
def test_pages_of_others_may_not(origin: str) -> None:
    with pytest.raises(Forbidden):
        require_no_page(Headers({"origin": origin, "host": "127.0.0.1:8000"}))
