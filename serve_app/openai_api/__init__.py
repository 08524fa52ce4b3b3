"""OpenAI's wire format: request models, response shapes, server-sent events, error bodies."""
