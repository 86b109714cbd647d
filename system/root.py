"""The folder that the program lies in."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
