"""Work beyond one process and one machine, on Ray: sweeps of runs, and actors for one run."""
