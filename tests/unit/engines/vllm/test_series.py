from __future__ import annotations

from serve_app.engines.vllm.series import News, Sample, samples, work_done

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


def test_what_did_not_change_is_told_again_before_ray_forgets_it() -> None:
    news = News(again_after_s=9.0)
    full, idle = Sample("vllm:kv_cache_usage_perc", {}, 1.0), Sample("vllm:num_requests_running", {}, 0.0)
    assert list(news.of([full, idle], 100.0)) == [full, idle]
    assert list(news.of([full, idle], 105.0)) == []
    busy = Sample("vllm:num_requests_running", {}, 3.0)
    assert list(news.of([full, busy], 108.0)) == [busy]
    assert list(news.of([full, busy], 110.0)) == [full, busy]
    assert list(news.of([full, busy], 115.0)) == []
