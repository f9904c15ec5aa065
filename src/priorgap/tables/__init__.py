"""Tables: what their columns are, and how rows become vectors and vectors rows."""
