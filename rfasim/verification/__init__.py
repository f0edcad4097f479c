"""Exact solutions, and the claims that hold this program to them (``rfasim verify``)."""
