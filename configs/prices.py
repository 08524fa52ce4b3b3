"""What instances cost: US dollars an hour, Linux, us-east-1. Dated facts, and nothing that decides.

In `configs` because two rooms price nodes: `cluster.plan`, and the benchmarks' simulator, which may not know the
cluster. On demand: the price list that Karpenter's AWS provider generates from the AWS Price List API and commits,
pkg/providers/pricing/zz_generated.pricing_aws.go of aws/karpenter-provider-aws at commit
031e72b6099630e960dacb88b48a7e9bb780945f, which says it was generated at 2026-01-19T13:23:24Z. Another region or a
contract has other prices; whoever plans gives them.
"""

from __future__ import annotations

SOURCE = "AWS Price List API by way of aws/karpenter-provider-aws at 031e72b60996"
AS_OF = "2026-01-19"
REGION = "us-east-1"

USD_PER_HOUR: dict[str, float] = {
    # Graviton3
    "c7g.large": 0.0725,
    "c7g.xlarge": 0.145,
    "c7g.2xlarge": 0.29,
    "c7g.4xlarge": 0.58,
    "c7g.8xlarge": 1.16,
    "c7g.12xlarge": 1.74,
    "c7g.16xlarge": 2.32,
    "m7g.large": 0.0816,
    "m7g.xlarge": 0.1632,
    "m7g.2xlarge": 0.3264,
    "m7g.4xlarge": 0.6528,
    "m7g.8xlarge": 1.3056,
    "m7g.12xlarge": 1.9584,
    "m7g.16xlarge": 2.6112,
    "r7g.large": 0.1071,
    "r7g.xlarge": 0.2142,
    "r7g.2xlarge": 0.4284,
    "r7g.4xlarge": 0.8568,
    "r7g.8xlarge": 1.7136,
    "r7g.12xlarge": 2.5704,
    "r7g.16xlarge": 3.4272,
    # Graviton4
    "c8g.large": 0.07976,
    "c8g.xlarge": 0.15952,
    "c8g.2xlarge": 0.31904,
    "c8g.4xlarge": 0.63808,
    "c8g.8xlarge": 1.27616,
    "c8g.12xlarge": 1.91424,
    "c8g.16xlarge": 2.55232,
    "c8g.24xlarge": 3.82848,
    "c8g.48xlarge": 7.65696,
    "m8g.large": 0.08976,
    "m8g.xlarge": 0.17952,
    "m8g.2xlarge": 0.35904,
    "m8g.4xlarge": 0.71808,
    "m8g.8xlarge": 1.43616,
    "m8g.12xlarge": 2.15424,
    "m8g.16xlarge": 2.87232,
    "m8g.24xlarge": 4.30848,
    "m8g.48xlarge": 8.61696,
    "r8g.large": 0.11782,
    "r8g.xlarge": 0.23564,
    "r8g.2xlarge": 0.47128,
    "r8g.4xlarge": 0.94256,
    "r8g.8xlarge": 1.88512,
    "r8g.12xlarge": 2.82768,
    "r8g.16xlarge": 3.77024,
    "r8g.24xlarge": 5.65536,
    "r8g.48xlarge": 11.31072,
    # Intel
    "c7i.large": 0.08925,
    "c7i.xlarge": 0.1785,
    "c7i.2xlarge": 0.357,
    "c7i.4xlarge": 0.714,
    "c7i.8xlarge": 1.428,
    "c7i.12xlarge": 2.142,
    "c7i.16xlarge": 2.856,
    "c7i.24xlarge": 4.284,
    "c7i.48xlarge": 8.568,
    "m7i.large": 0.1008,
    "m7i.xlarge": 0.2016,
    "m7i.2xlarge": 0.4032,
    "m7i.4xlarge": 0.8064,
    "m7i.8xlarge": 1.6128,
    "m7i.12xlarge": 2.4192,
    "m7i.16xlarge": 3.2256,
    "m7i.24xlarge": 4.8384,
    "m7i.48xlarge": 9.6768,
    # NVIDIA T4
    "g4dn.xlarge": 0.526,
    "g4dn.2xlarge": 0.752,
    "g4dn.12xlarge": 3.912,
    # NVIDIA A10G
    "g5.xlarge": 1.006,
    "g5.2xlarge": 1.212,
    "g5.4xlarge": 1.624,
    "g5.8xlarge": 2.448,
    "g5.12xlarge": 5.672,
    "g5.16xlarge": 4.096,
    "g5.24xlarge": 8.144,
    "g5.48xlarge": 16.288,
    # NVIDIA L4
    "g6.xlarge": 0.8048,
    "g6.2xlarge": 0.9776,
    "g6.4xlarge": 1.3232,
    "g6.8xlarge": 2.0144,
    "g6.12xlarge": 4.6016,
    "g6.16xlarge": 3.3968,
    "g6.24xlarge": 6.6752,
    "g6.48xlarge": 13.3504,
    # NVIDIA L40S
    "g6e.xlarge": 1.861,
    "g6e.2xlarge": 2.24208,
    "g6e.4xlarge": 3.00424,
    "g6e.8xlarge": 4.52856,
    "g6e.12xlarge": 10.49264,
    "g6e.16xlarge": 7.57719,
    "g6e.24xlarge": 15.06559,
    "g6e.48xlarge": 30.13118,
    # NVIDIA A100, H100, H200
    "p4d.24xlarge": 21.957642,
    "p4de.24xlarge": 27.44705,
    "p5.4xlarge": 6.88,
    "p5.48xlarge": 55.04,
    "p5en.48xlarge": 63.296,
    # AWS Inferentia2 and Trainium
    "inf2.xlarge": 0.7582,
    "inf2.8xlarge": 1.96786,
    "inf2.24xlarge": 6.49063,
    "inf2.48xlarge": 12.98127,
    "trn1.2xlarge": 1.34375,
    "trn1.32xlarge": 21.5,
}

# What spot costs of the price on demand: the mean over the availability zones of us-east-1, of the one size named.
# Source: SkyPilot's catalogue, which reads EC2's spot price history: catalogs/v8/aws/vms.csv of
# skypilot-org/skypilot-catalog at commit 00148f2af3672e2229b4f7bf8157d5a3f36e3c35 (read 2026-11). It moves by the hour:
# for planning, not for a bill. A family that is not here was not read.
SPOT_SOURCE = "EC2 spot prices by way of skypilot-org/skypilot-catalog at 00148f2af367"
SPOT_SHARE: dict[str, float] = {
    "c8g": 0.42,  # c8g.8xlarge, 5 zones: 0.51 to 0.57 of 1.276
    "m7i": 0.45,  # m7i.2xlarge, 5 zones: 0.166 to 0.191 of 0.403
    "g6": 0.50,  # g6.2xlarge, 4 zones: 0.44 to 0.58 of 0.978
    "g6e": 0.42,  # g6e.2xlarge, 4 zones: 0.81 to 1.09 of 2.242
}
