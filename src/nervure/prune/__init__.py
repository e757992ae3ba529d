"""Whole units: criteria judge them, a plan says which stay, apply removes the others, recover repairs."""
