"""Games without learning: scored, shown, and recorded."""
