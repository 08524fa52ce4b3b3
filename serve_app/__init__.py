"""The application: deployments, what they do, and how they are joined."""
