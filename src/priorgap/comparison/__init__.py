"""The library's main entry point: compare ways of sampling a user's VAE."""
