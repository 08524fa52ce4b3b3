"""What wakes a person: PrometheusRules, each with what to do."""
