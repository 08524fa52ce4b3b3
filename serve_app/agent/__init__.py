"""The agent pipeline: route, retrieve, grade, generate, cite."""
