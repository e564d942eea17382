"""Tables of trained architectures in the format of ``sartor compare --table``: real ones, and made-up ones."""
