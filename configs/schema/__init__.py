"""Everything that can be configured: one strict, frozen tree.

Unknown keys are errors, because neither Serve's own schema nor the RayService's rejects a misspelt
knob: this tree is the only guard. Every field has a unit in its name or description, and a default
that runs on a laptop. `docs/configuration.md` is generated from the descriptions.

Knows nothing of files or the environment: `configs.load` reads them.
"""

from configs.schema.agent import AgentConfig, BudgetConfig, GateConfig
from configs.schema.agents import AgentLimits, DeclaredAgent, calls_of, order_of_calls
from configs.schema.answer_cache import AnswerCacheConfig, SemanticCacheConfig
from configs.schema.base import (
    Fraction,
    Name,
    SecretRef,
    Strict,
    Url,
)
from configs.schema.door import (
    AuditConfig,
    AuthenticationConfig,
    DoorConfig,
    GatewayConfig,
    KeysConfig,
    LimitsConfig,
    OidcConfig,
    PriceConfig,
    RedisConfig,
    TenantConfig,
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
from configs.schema.front import FrontConfig
from configs.schema.gateway import LiteLLMConfig, OtherModel
from configs.schema.guards import GuardPolicies, GuardsConfig, InputPolicies, TenantGuards
from configs.schema.ingress import IngressConfig, StreamsConfig
from configs.schema.knowledge import (
    BasicAuth,
    ChunkingConfig,
    CurrencyConfig,
    HnswConfig,
    JobsConfig,
    KnowledgeConfig,
    LanceDbStoreConfig,
    MemoryStoreConfig,
    MilvusStoreConfig,
    OpenSearchStoreConfig,
    RerankConfig,
    RetrievalConfig,
    SigV4Auth,
    StoreConfig,
)
from configs.schema.models import (
    ExternalModel,
    ExtractiveModel,
    LlamaCppModel,
    MockModel,
    ModelBase,
    ModelConfig,
    VllmModel,
)
from configs.schema.platform import PlatformConfig
from configs.schema.rerankers import (
    ExternalReranker,
    LlamaCppReranker,
    MockReranker,
    RerankerBase,
    RerankerConfig,
)
from configs.schema.routing import CascadeConfig, GroupConfig, MemberConfig
from configs.schema.scaling import AutoscalerConfig, HealthConfig, ScalingConfig
from configs.schema.sessions import SessionsConfig
from configs.schema.sources import FolderSource, HttpSource, S3Source, SourceConfig
from configs.schema.tools import AgentTool, HeaderSecret, HttpTool, McpTools, RetrievalTool, ToolConfig
from configs.schema.tracing import (
    ConsoleExporter,
    ExporterConfig,
    JaegerExporter,
    LangfuseExporter,
    OtlpExporter,
    TracingConfig,
)
from configs.schema.vllm import LoraConfig
from configs.schema.web_search import (
    FixtureProvider,
    McpProvider,
    SearxngProvider,
    TavilyProvider,
    WebSearchConfig,
)
from configs.schema.weights import (
    CatalogueWeights,
    FileWeights,
    HubFolder,
    HubWeights,
    LocalFolder,
    ModelFolder,
    StoreFolder,
    Weights,
)

__all__ = [
    "AgentConfig",
    "AgentLimits",
    "AgentTool",
    "AnswerCacheConfig",
    "AuditConfig",
    "AuthenticationConfig",
    "AutoEmbedder",
    "AutoscalerConfig",
    "BasicAuth",
    "BudgetConfig",
    "CascadeConfig",
    "CatalogueWeights",
    "ChunkingConfig",
    "ConsoleExporter",
    "CurrencyConfig",
    "DeclaredAgent",
    "DoorConfig",
    "EmbedderBase",
    "EmbedderConfig",
    "ExporterConfig",
    "ExternalEmbedder",
    "ExternalModel",
    "ExternalReranker",
    "ExtractiveModel",
    "FileWeights",
    "FixtureProvider",
    "FolderSource",
    "Fraction",
    "FrontConfig",
    "GateConfig",
    "GatewayConfig",
    "GroupConfig",
    "GuardPolicies",
    "GuardsConfig",
    "HeaderSecret",
    "HealthConfig",
    "HnswConfig",
    "HttpSource",
    "HttpTool",
    "HubFolder",
    "HubWeights",
    "IngressConfig",
    "InputPolicies",
    "JaegerExporter",
    "JobsConfig",
    "KeysConfig",
    "KnowledgeConfig",
    "LanceDbStoreConfig",
    "LangfuseExporter",
    "LimitsConfig",
    "LiteLLMConfig",
    "LlamaCppEmbedder",
    "LlamaCppModel",
    "LlamaCppReranker",
    "LocalEmbedder",
    "LocalFolder",
    "LoraConfig",
    "McpProvider",
    "McpTools",
    "MemberConfig",
    "MemoryStoreConfig",
    "MilvusStoreConfig",
    "MockEmbedder",
    "MockModel",
    "MockReranker",
    "ModelBase",
    "ModelConfig",
    "ModelFolder",
    "Name",
    "OidcConfig",
    "OnnxEmbedder",
    "OpenSearchStoreConfig",
    "OtherModel",
    "OtlpExporter",
    "PlatformConfig",
    "PriceConfig",
    "RedisConfig",
    "RerankConfig",
    "RerankerBase",
    "RerankerConfig",
    "RetrievalConfig",
    "RetrievalTool",
    "S3Source",
    "ScalingConfig",
    "SearxngProvider",
    "SecretRef",
    "SemanticCacheConfig",
    "SessionsConfig",
    "SigV4Auth",
    "SourceConfig",
    "StoreConfig",
    "StoreFolder",
    "StreamsConfig",
    "Strict",
    "TavilyProvider",
    "TenantConfig",
    "TenantGuards",
    "ToolConfig",
    "TracingConfig",
    "Url",
    "VllmModel",
    "WebSearchConfig",
    "Weights",
    "calls_of",
    "order_of_calls",
]
