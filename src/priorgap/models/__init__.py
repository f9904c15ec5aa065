"""VAEs by composition: networks, likelihood, prior."""
