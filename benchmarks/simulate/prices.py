"""What instances cost: USD per hour, Linux, on demand, us-east-1.

Source of every entry: the price list that Karpenter's AWS provider generates from the AWS Price List API
and commits, pkg/providers/pricing/zz_generated.pricing_aws.go of aws/karpenter-provider-aws at commit
031e72b6099630e960dacb88b48a7e9bb780945f, which says it was generated at 2026-01-19T13:23:24Z. What is not
here is given in the simulation (`nodes.usd_per_hour`); so is any other region, or a discount.
"""

from __future__ import annotations

from benchmarks.errors import BenchmarkError

SOURCE = "AWS Price List API by way of aws/karpenter-provider-aws at 031e72b60996"
AS_OF = "2026-01-19"
REGION = "us-east-1"

USD_PER_HOUR = {
    # NVIDIA T4
    "g4dn.xlarge": 0.526,
    "g4dn.2xlarge": 0.752,
    "g4dn.12xlarge": 3.912,
    # NVIDIA A10G
    "g5.xlarge": 1.006,
    "g5.2xlarge": 1.212,
    "g5.4xlarge": 1.624,
    "g5.12xlarge": 5.672,
    "g5.48xlarge": 16.288,
    # NVIDIA L4
    "g6.xlarge": 0.8048,
    "g6.2xlarge": 0.9776,
    "g6.4xlarge": 1.3232,
    "g6.12xlarge": 4.6016,
    "g6.48xlarge": 13.3504,
    # NVIDIA L40S
    "g6e.xlarge": 1.861,
    "g6e.2xlarge": 2.24208,
    "g6e.4xlarge": 3.00424,
    "g6e.12xlarge": 10.49264,
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
    # CPUs
    "c7i.2xlarge": 0.357,
    "c7i.4xlarge": 0.714,
    "m7i.xlarge": 0.2016,
    "m7i.2xlarge": 0.4032,
    "m7g.xlarge": 0.1632,
    "m7g.2xlarge": 0.3264,
}


def usd_per_hour(instance: str, given: float | None) -> float:
    """The price that was given, else the table's.

    Raises:
        BenchmarkError: neither is there.
    """
    if given is not None:
        return given
    if instance not in USD_PER_HOUR:
        raise BenchmarkError(f"the price of {instance} is not known here; give nodes.usd_per_hour")
    return USD_PER_HOUR[instance]
