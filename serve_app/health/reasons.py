"""The reason in a text that Serve gives for a failure. Pure."""

from __future__ import annotations


def last_line(text: str) -> str:
    """The last line of a traceback that says something: `serve_app.errors.ConfigError: why` gives `why`.

    Empty if there is none.
    """
    for line in reversed(text.strip().splitlines()):
        name, colon, reason = line.partition(": ")
        is_class = bool(colon) and all(part.isidentifier() for part in name.split("."))
        is_error = "." in name or name.endswith(("Error", "Exception"))
        if is_class and is_error and reason and not reason.startswith("Traceback ("):
            return reason
    return ""


def reason_of(status: str, message: str) -> str:
    """One line of a deployment's status and what Serve says about it: a traceback's reason, else its first line."""
    said = last_line(message) or message.strip().partition("\n")[0]
    return f"{status}: {said}" if said else status
