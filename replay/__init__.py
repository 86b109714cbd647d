"""The parts of a replay memory."""
