"""Networks, targets, losses, and compiled updates."""
