"""What is left in replicas, from the metrics of Ray Serve."""

from __future__ import annotations

import httpx

from benchmarks.soak.still_running import held, not_given_back, running, still_running

TEXT = """# TYPE ray_serve_replica_processing_queries gauge
ray_serve_replica_processing_queries{application="manta",deployment="Agent",replica="a"} 0.0
ray_serve_replica_processing_queries{application="manta",deployment="Model-mock",replica="b"} 1.0
ray_serve_replica_processing_queries{application="manta",deployment="Model-mock",replica="c"} 2.0
ray_serve_num_ongoing_requests_at_replicas{actor_id="d",deployment="Agent"} 1.0
ray_serve_num_ongoing_requests_at_replicas{actor_id="e",deployment="Model-mock"} 1.0
ray_serve_deployment_queued_queries{deployment="Agent"} 9.0
"""
HELD = """ray_event_loop_tasks{deployment="Ingress",name="ingress",replica="a",WorkerId="x"} 9.0
ray_event_loop_tasks{deployment="Ingress",name="ingress",replica="b",WorkerId="y"} 11.0
ray_channel_links{deployment="Ingress",name="ingress",replica="a",WorkerId="x"} 1.0
"""


def client(text: str, status: int = 200) -> httpx.Client:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, text=text))
    return httpx.Client(base_url="http://test", transport=transport)


def test_replicas_are_added_and_the_larger_count_is_believed() -> None:
    assert running(TEXT) == {"Agent": 1.0, "Model-mock": 3.0}


def test_no_metric_is_not_zero() -> None:
    assert running("ray_other 1.0\n") is None
    with client("", 503) as http:
        assert still_running(http, 0.0) is None


def test_only_what_still_runs_is_told() -> None:
    with client(TEXT.replace("1.0", "0.0").replace("2.0", "0.0")) as http:
        assert still_running(http, 60.0) == {}
    with client(TEXT) as http:
        assert still_running(http, 0.0) == {"Agent": 1.0, "Model-mock": 3.0}


def test_what_all_replicas_hold_is_added() -> None:
    assert held(TEXT + HELD) == {"Ingress event_loop_tasks": 20.0, "Ingress channel_links": 1.0}


def test_a_leak_is_told_and_a_task_or_two_are_not() -> None:
    with client(HELD) as http:
        assert (
            not_given_back(http, {"Ingress event_loop_tasks": 18.0, "Ingress channel_links": 1.0}, 0.0) == {}
        )
        assert not_given_back(
            http, {"Ingress event_loop_tasks": 14.0, "Ingress channel_links": 1.0}, 0.0
        ) == {"Ingress event_loop_tasks": 6.0}
