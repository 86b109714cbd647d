"""File formats: written whole, and checked when they are read."""
