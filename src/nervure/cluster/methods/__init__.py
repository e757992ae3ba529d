"""One file a method, named after it."""
