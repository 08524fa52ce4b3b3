from __future__ import annotations

import re

import pytest

from configs.schema import HubWeights
from serve_app.model_cache.catalogue import CATALOGUE, CatalogueEntry, HubSource


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=CATALOGUE)
def test_every_model_is_pinned_and_free_to_use(entry: CatalogueEntry) -> None:
    assert re.fullmatch("[0-9a-f]{64}", entry.source.sha256)
    assert entry.num_bytes
    assert entry.licence == "Apache-2.0"
    if isinstance(entry.source, HubSource):
        source = entry.source
        # What a configuration may say about a hub file holds for the catalogue's own.
        HubWeights(repo=source.repo, file=source.file, revision=source.revision, sha256=source.sha256)
