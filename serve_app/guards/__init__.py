"""Guards: personal data, secrets, injections and banned topics, in prompts and in answers."""
