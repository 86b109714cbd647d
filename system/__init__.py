"""The process and its machine: terminal, errors, cores, memory, devices."""
