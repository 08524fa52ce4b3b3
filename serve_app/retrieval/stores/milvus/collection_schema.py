"""A collection for the chunks of one embedding model: its fields, its functions and its indices."""

from __future__ import annotations

from typing import Any

from pymilvus import DataType, Function, FunctionType

from configs.schema import MilvusStoreConfig
from serve_app.retrieval.stores.milvus import rows

_MAX_ID_CHARS = 512


def create(client: Any, config: MilvusStoreConfig, name: str, dim: int) -> None:
    """Make an empty collection, ready to be searched. Blocks.

    Args:
        client: a MilvusClient.
        config: of the store.
        name: of the collection.
        dim: of its vectors.
    """
    client.create_collection(
        name,
        schema=_schema(client, dim),
        index_params=_indices(client, config),
        num_partitions=config.num_partitions,
    )
    client.load_collection(name)


def _schema(client: Any, dim: int) -> Any:
    digest: dict[str, Any] = {"datatype": DataType.VARCHAR, "max_length": rows.DIGEST_CHARS}
    texts: dict[str, Any] = {"datatype": DataType.ARRAY, "element_type": DataType.VARCHAR}
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("key", is_primary=True, **digest)
    schema.add_field("owner", is_partition_key=True, **digest)
    schema.add_field("hash", **digest)
    schema.add_field("id", DataType.VARCHAR, max_length=_MAX_ID_CHARS)
    schema.add_field("terms", max_length=rows.DIGEST_CHARS, max_capacity=rows.MAX_PIECES, **texts)
    schema.add_field("chunk", max_length=rows.MAX_TEXT_BYTES, max_capacity=rows.MAX_PIECES, **texts)
    schema.add_field("numbers", DataType.JSON)
    schema.add_field("dates", DataType.JSON)
    schema.add_field(
        "lexical",
        DataType.VARCHAR,
        max_length=rows.MAX_TEXT_BYTES,
        enable_analyzer=True,
        analyzer_params={"tokenizer": "standard"},  # of words that are stemmed already
    )
    schema.add_field("lexical_weights", DataType.SPARSE_FLOAT_VECTOR)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dim)
    schema.add_function(
        Function(
            "bm25", FunctionType.BM25, input_field_names=["lexical"], output_field_names=["lexical_weights"]
        )
    )
    return schema


def _indices(client: Any, config: MilvusStoreConfig) -> Any:
    indices = client.prepare_index_params()
    indices.add_index(
        "vector",
        index_type="HNSW",
        metric_type="COSINE",
        params={"M": config.hnsw.m, "efConstruction": config.hnsw.ef_construction},
    )
    indices.add_index(
        "lexical_weights",
        index_type="SPARSE_INVERTED_INDEX",
        metric_type="BM25",
        params={"bm25_k1": 1.2, "bm25_b": 0.75},  # Lucene's
    )
    return indices
