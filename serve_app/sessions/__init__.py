"""Conversations that outlive a request: the contract, and a store in memory."""
