"""The default profile's application, for commands that want an Application and not its builder:
`serve build serve_app.default:app`.
"""

from __future__ import annotations

from serve_app.app import build

app = build({})
