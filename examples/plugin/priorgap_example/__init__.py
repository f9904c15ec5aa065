"""An outside package for priorgap: a sampler, a metric and a data set that priorgap does not have."""
