"""What every room shares: values, names, random streams, objects from configuration, results on disk."""
