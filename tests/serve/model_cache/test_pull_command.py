"""`manta models pull` of a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from click.testing import CliRunner

from configs.schema import HubFolder
from manta.commands.models import command
from serve_app.model_cache.cache import locate


def test_the_command_line_pulls_and_finds_a_folder(tmp_path: Path, hub: Any, repository: Path) -> None:
    profile = tmp_path / "profile.yaml"
    profile.write_text(
        f"""
applications:
- name: manta
  import_path: serve_app.app:build
  args:
    home: {tmp_path}
    models:
    - name: tiny
      engine: vllm
      weights: {{repo: {hub.repo}, revision: {hub.revision}}}
    - {{name: mock, engine: mock}}
    embedder: {{name: embedder, engine: mock}}
    agent: {{name: agent, models: [mock]}}
"""
    )
    runner = CliRunner()
    missing = runner.invoke(command, ["where", "tiny", "--profile", str(profile)], standalone_mode=False)
    assert missing.return_value == 1
    pulled = runner.invoke(command, ["pull", "tiny", "--profile", str(profile)], standalone_mode=False)
    assert pulled.return_value == 0, pulled.output
    assert locate(HubFolder(repo=hub.repo, revision=hub.revision), tmp_path) is not None
