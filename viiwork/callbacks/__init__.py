"""Callbacks: who outside is told of what happened, signed as Standard Webhooks, and sent until they have it."""
