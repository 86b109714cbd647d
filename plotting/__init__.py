"""Logs as pictures and pages."""
