"""Tables: the kinds of their columns, and the conversion of rows to vectors and back."""
