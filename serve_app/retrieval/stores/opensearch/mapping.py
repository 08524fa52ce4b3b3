"""An index's settings and fields, from the configuration. Knows nothing of requests.

There is one vector field for each embedding model, named after the model and the dimension, as in the
embedded store: a base moves from one model to the next chunk by chunk, and answers all the time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from configs.schema import OpenSearchStoreConfig
from serve_app.retrieval.stores.english import STOP_WORDS

LAYOUT = 2  # of the documents; an index of another one is refused
VECTOR_PREFIX = "vector_"
LEXICAL = "lexical"
PACKED = "packed"  # the vector again, as it is read back
META = "manta"
_ANALYZER = "manta"
_ANALYSIS = 2  # how words are made of texts; an index keeps what it was made with

# language -> (stemmer, stop words). English as the other stores have it (`english.py`).
_LANGUAGES: dict[str, tuple[str, str | list[str]]] = {
    "english": ("porter2", sorted(STOP_WORDS)),
    "german": ("light_german", "_german_"),
    "french": ("light_french", "_french_"),
    "spanish": ("light_spanish", "_spanish_"),
    "italian": ("light_italian", "_italian_"),
    "portuguese": ("light_portuguese", "_portuguese_"),
    "dutch": ("dutch", "_dutch_"),
}


def vector_field(embedding_id: str, dim: int) -> str:
    return f"{vector_prefix(embedding_id)}{dim}"


def vector_prefix(embedding_id: str) -> str:
    """What the names of a model's vector fields begin with, whatever the dimension."""
    return f"{VECTOR_PREFIX}{hashlib.sha256(embedding_id.encode()).hexdigest()[:16]}_"


def settings(config: OpenSearchStoreConfig) -> dict[str, Any]:
    return {
        "index": {
            "knn": True,
            "number_of_shards": config.num_shards,
            "number_of_replicas": config.num_copies,
            "analysis": _analysis(config.language),
        }
    }


def mappings(config: OpenSearchStoreConfig) -> dict[str, Any]:
    """All fields but the vectors', which come with the first chunk of each model."""
    keyword = {"type": "keyword"}
    return {
        "dynamic": False,
        "_meta": {META: {"layout": LAYOUT, "index": _recipe(config), "models": {}}},
        # What is only there for the index stays out of what is kept: it is made of the chunk again. Vectors
        # among them: as text they are twice what they are packed, and the server reads all of a document's
        # text for each hit, to leave them out.
        "_source": {"excludes": [LEXICAL, f"{VECTOR_PREFIX}*"]},
        "properties": {
            "owner": keyword,
            "id": keyword,
            "terms": keyword,
            "numbers": keyword,
            "dates": keyword,
            "hash": keyword,
            "model": keyword,
            LEXICAL: {"type": "text", "analyzer": _ANALYZER, "index_options": "freqs"},
            "chunk": {"type": "object", "enabled": False},
            PACKED: {"type": "binary"},
        },
    }


def vector_mapping(config: OpenSearchStoreConfig, dim: int) -> dict[str, Any]:
    hnsw = config.hnsw
    parameters: dict[str, Any] = {"m": hnsw.m, "ef_construction": hnsw.ef_construction}
    if hnsw.engine == "faiss":
        parameters["ef_search"] = hnsw.ef_search  # Lucene takes it from each query's k
    return {
        "type": "knn_vector",
        "dimension": dim,
        "method": {
            "name": "hnsw",
            "engine": hnsw.engine,
            "space_type": "cosinesimil",
            "parameters": parameters,
        },
    }


def meta(config: OpenSearchStoreConfig, models: Mapping[str, str]) -> dict[str, Any]:
    """`_meta` of an index with these models (vector field -> embedding_id)."""
    return {META: {"layout": LAYOUT, "index": _recipe(config), "models": dict(models)}}


def is_outdated(found: Mapping[str, Any], config: OpenSearchStoreConfig) -> bool:
    """Whether an index was made with other settings than would be now: a rebuild would change it."""
    return bool(found.get("index") != _recipe(config))


def _recipe(config: OpenSearchStoreConfig) -> dict[str, Any]:
    """What of the configuration an index keeps from its making on."""
    return {
        "engine": config.hnsw.engine,
        "m": config.hnsw.m,
        "ef_construction": config.hnsw.ef_construction,
        "num_shards": config.num_shards,
        "language": config.language,
        "analysis": _ANALYSIS,
        "route_by_tenant": config.route_by_tenant,
    }


def _analysis(language: str) -> dict[str, Any]:
    filters: dict[str, Any] = {}
    names = ["lowercase"]
    if language in _LANGUAGES:
        stemmer, stop_words = _LANGUAGES[language]
        filters["manta_stemmer"] = {"type": "stemmer", "language": stemmer}
        filters["manta_stop"] = {"type": "stop", "stopwords": stop_words}
        # The lists of Lucene's languages have whole words, English' has stems.
        own = ["manta_stop", "manta_stemmer"]
        names += own[::-1] if language == "english" else own
    # Words are runs of letters and digits, as the embedded store has them: "foo_bar" and "1.5" are two.
    tokenizer = {"type": "char_group", "tokenize_on_chars": ["whitespace", "punctuation", "symbol"]}
    return {
        "tokenizer": {"manta_words": tokenizer},
        "filter": filters,
        "analyzer": {
            _ANALYZER: {"type": "custom", "tokenizer": "manta_words", "filter": [*names, "asciifolding"]}
        },
    }
