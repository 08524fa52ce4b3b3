"""The indices behind the alias: found, made, and swapped in one step.

An index is called after the alias and a number (manta-g000001). What is behind the alias is looked at
when the store opens, and whenever an answer does not fit what is known of it: never searched is an index
that something else made, one of another layout, or two at once.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from configs.schema import OpenSearchStoreConfig
from serve_app.errors import Unavailable
from serve_app.retrieval.stores.opensearch import mapping
from serve_app.retrieval.stores.opensearch.client import Client
from serve_app.retrieval.stores.opensearch.faults import IndexGone, Refused

logger = logging.getLogger("manta.retrieval")

_NUMBER = re.compile(r"-g(\d{6,})$")


@dataclass(frozen=True, slots=True)
class Generation:
    """The index that answers, as it was when it was looked at."""

    index: str
    uuid: str
    models: Mapping[str, str]  # vector field -> embedding_id
    fields: Mapping[str, int] = field(default_factory=dict)  # vector field -> dimension
    is_frozen: bool = field(default=False, compare=False)  # takes no writes: somebody rebuilds it, or did

    @property
    def name(self) -> str:
        return f"{self.index}/{self.uuid}"


class Generations:
    """The indices of one alias."""

    def __init__(self, client: Client, config: OpenSearchStoreConfig) -> None:
        self._client = client
        self._config = config
        self.alias = config.index

    async def find(self) -> Generation | None:
        """The index behind the alias; None if there is none.

        Raises:
            Unavailable: there are two, or it is none that may be searched.
        """
        try:
            found = await self._client.request("GET", f"/{self.alias}", what="the index")
        except IndexGone:
            return None
        if len(found) > 1:
            names = " and ".join(sorted(found))
            raise Unavailable(
                f"the alias {self.alias} points at {names}: leave it at one of them (POST /_aliases)"
            )
        [(index, document)] = found.items()
        return self._checked(index, document)

    async def ensure(self) -> Generation:
        """The index behind the alias, made if there is none."""
        generation = await self.find()
        if generation is None:
            # The number first: whoever makes the first index meanwhile has taken that very number, or is
            # found. Two that begin at once never put two indices behind the alias.
            number = await self.next_number()
            if await self.find() is None:
                await self.make(number, is_live=True)
            generation = await self.find()
            if generation is None:
                raise Unavailable(f"the index behind {self.alias} was made, and is gone")
        return generation

    async def make(self, number: int, *, is_live: bool) -> str:
        """A new, empty index, unless it is there; behind the alias at once if it `is_live`."""
        config = self._config
        await self._client.request(
            "PUT",
            f"/_index_template/{self.alias}",
            {
                "index_patterns": [f"{self.alias}-g*"],
                "priority": 200,
                "template": {"settings": mapping.settings(config), "mappings": mapping.mappings(config)},
            },
            what="the index template",
        )
        index = f"{self.alias}-g{number:06d}"
        body: dict[str, Any] = {"aliases": {self.alias: {}}} if is_live else {}
        try:
            await self._client.request("PUT", f"/{index}", body, what="the new index")
        except Refused as exc:
            if exc.refused_type != "resource_already_exists_exception":
                raise
        return index

    async def add_model(self, generation: Generation, embedding_id: str, dim: int) -> None:
        """A vector field for a model's first chunk."""
        name = mapping.vector_field(embedding_id, dim)
        models = {**generation.models, name: embedding_id}
        await self._client.request(
            "PUT",
            f"/{generation.index}/_mapping",
            {
                "_meta": mapping.meta(self._config, models),
                "properties": {name: mapping.vector_mapping(self._config, dim)},
            },
            what="a field for the embedding model",
        )

    async def switch(self, old: str, new: str) -> None:
        """Searches see the new index from here on; the old one is deleted in the same step."""
        actions = [
            {"add": {"index": new, "alias": self.alias}},
            {"remove_index": {"index": old}},
        ]
        await self._client.request("POST", "/_aliases", {"actions": actions}, what="the switch")

    async def set_read_only(self, index: str, *, is_read_only: bool) -> None:
        value = True if is_read_only else None
        await self._client.request(
            "PUT", f"/{index}/_settings", {"index.blocks.write": value}, what="the write block"
        )

    async def drop(self, index: str) -> None:
        try:
            await self._client.request("DELETE", f"/{index}", what="an old index")
        except IndexGone:
            return

    async def others(self, live: str) -> list[str]:
        """Indices that a rebuild left behind."""
        return sorted(index for index in await self._all() if index != live)

    async def _all(self) -> list[str]:
        found = await self._client.request(
            "GET", f"/{self.alias}-g*/_alias", params={"allow_no_indices": "true"}, what="the indices"
        )
        return [index for index in found if _NUMBER.search(index)]

    async def next_number(self) -> int:
        matches = (_NUMBER.search(index) for index in await self._all())
        return max((int(match[1]) for match in matches if match), default=0) + 1

    def _checked(self, index: str, document: Mapping[str, Any]) -> Generation:
        mappings = document.get("mappings", {})
        own = mappings.get("_meta", {}).get(mapping.META)
        if not isinstance(own, Mapping):
            raise Unavailable(
                f"the index {index} was not made by Manta: it is not searched; name another one"
            )
        if own.get("layout") != mapping.LAYOUT:
            raise Unavailable(
                f"the index {index} has layout {own.get('layout')}, not {mapping.LAYOUT}: it is not searched"
            )
        models = own.get("models", {})
        fields = {
            name: _dimension(index, name, one, str(models.get(name, "")))
            for name, one in mappings.get("properties", {}).items()
            if name.startswith(mapping.VECTOR_PREFIX)
        }
        if mapping.is_outdated(own, self._config):
            logger.warning("the index %s was made with other settings than are configured: rebuild it", index)
        settings = document["settings"]["index"]
        is_frozen = str(settings.get("blocks", {}).get("write", "false")).lower() == "true"
        return Generation(index, settings["uuid"], models, fields, is_frozen)


def _dimension(index: str, name: str, found: Mapping[str, Any], embedding_id: str) -> int:
    """The field's dimension, if it is what its name says."""
    dim = found.get("dimension", 0)
    if found.get("type") != "knn_vector" or name.rpartition("_")[2] != str(dim):
        model = f" of the embedding model {embedding_id}" if embedding_id else ""
        raise Unavailable(
            f"the index {index} has a field {name}{model} of type {found.get('type')} and dimension {dim}: "
            "it is not searched"
        )
    if embedding_id and not name.startswith(mapping.vector_prefix(embedding_id)):
        raise Unavailable(
            f"the index {index} says that its field {name} is of the embedding model {embedding_id}, "
            "which it is not: it is not searched"
        )
    return int(dim)
