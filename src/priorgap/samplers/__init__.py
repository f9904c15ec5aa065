"""Where z comes from."""
