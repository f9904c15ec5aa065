"""Pure mathematics on tensors: no models, files, configuration or devices."""
