"""What fills the pages that report studies: a small language of questions, and answers of published results."""
