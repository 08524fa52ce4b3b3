"""Grafana's dashboards: agents, models, resources, cost. Their series are those of `cluster.series`."""
