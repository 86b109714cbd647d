"""The games: their ids, emulators, and published scores."""
