"""The way in: an Application Load Balancer, or a Gateway of the Gateway API. One name, TLS, one thing behind it."""
