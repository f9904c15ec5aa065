"""The library's front door: compare ways of sampling a VAE that somebody brings."""
