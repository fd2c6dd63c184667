"""What the front door costs: `/v1/chat/completions` beside LiteLLM's proxy and a call of the engine itself."""
