"""Everything that can be configured: one strict, frozen tree.

Unknown keys are errors, because neither Serve's own schema nor the RayService's rejects a misspelt
knob: this tree is the only guard. Every field has a unit in its name or description, and a default
that runs on a laptop. `docs/configuration.md` is generated from the descriptions.

Knows nothing of files or the environment: `configs.load` reads them.
"""

from configs.schema.agent import AgentConfig, BudgetConfig, GateConfig
from configs.schema.base import (
    Fraction,
    Name,
    SecretRef,
    Strict,
    Url,
)
from configs.schema.embedders import (
    AutoEmbedder,
    EmbedderBase,
    EmbedderConfig,
    ExternalEmbedder,
    LlamaCppEmbedder,
    LocalEmbedder,
    MockEmbedder,
    OnnxEmbedder,
)
from configs.schema.ingress import IngressConfig, StreamsConfig
from configs.schema.knowledge import (
    ChunkingConfig,
    KnowledgeConfig,
    LanceDbStoreConfig,
    MemoryStoreConfig,
    RetrievalConfig,
    StoreConfig,
)
from configs.schema.models import (
    ExternalModel,
    ExtractiveModel,
    LlamaCppModel,
    MockModel,
    ModelBase,
    ModelConfig,
)
from configs.schema.platform import PlatformConfig
from configs.schema.scaling import AutoscalerConfig, HealthConfig, ScalingConfig
from configs.schema.weights import (
    CatalogueWeights,
    FileWeights,
    HubWeights,
    Weights,
)

__all__ = [
    "AgentConfig",
    "AutoEmbedder",
    "AutoscalerConfig",
    "BudgetConfig",
    "CatalogueWeights",
    "ChunkingConfig",
    "EmbedderBase",
    "EmbedderConfig",
    "ExternalEmbedder",
    "ExternalModel",
    "ExtractiveModel",
    "FileWeights",
    "Fraction",
    "GateConfig",
    "HealthConfig",
    "HubWeights",
    "IngressConfig",
    "KnowledgeConfig",
    "LanceDbStoreConfig",
    "LlamaCppEmbedder",
    "LlamaCppModel",
    "LocalEmbedder",
    "MemoryStoreConfig",
    "MockEmbedder",
    "MockModel",
    "ModelBase",
    "ModelConfig",
    "Name",
    "OnnxEmbedder",
    "PlatformConfig",
    "RetrievalConfig",
    "ScalingConfig",
    "SecretRef",
    "StoreConfig",
    "StreamsConfig",
    "Strict",
    "Url",
    "Weights",
]
