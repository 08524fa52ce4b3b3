from __future__ import annotations

from serve_app.engines.vllm.series import Sample, samples, work_done

TEXT = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="chat"} 2.0
vllm:generation_tokens_total{engine="0",model_name="chat"} 18.0
vllm:generation_tokens_created{engine="0",model_name="chat"} 1.7e+09
vllm:e2e_request_latency_seconds_bucket{engine="0",le="+Inf",model_name="a\\"b\\\\c"} 3.0
vllm:plain 1.0
process_cpu_seconds_total 4.0
"""


def test_vllms_own_series_with_their_labels() -> None:
    assert list(samples(TEXT)) == [
        Sample("vllm:num_requests_running", {"engine": "0", "model_name": "chat"}, 2.0),
        Sample("vllm:generation_tokens_total", {"engine": "0", "model_name": "chat"}, 18.0),
        Sample(
            "vllm:e2e_request_latency_seconds_bucket",
            {"engine": "0", "le": "+Inf", "model_name": 'a"b\\c'},
            3.0,
        ),
        Sample("vllm:plain", {}, 1.0),
    ]


def test_work_is_what_a_step_counts() -> None:
    assert work_done(TEXT) == 18.0
    assert work_done(TEXT.replace("} 2.0", "} 5.0")) == 18.0
    assert work_done(TEXT.replace("} 18.0", "} 19.0")) == 19.0
