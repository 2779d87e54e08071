"""Measurements and hashes of footage enter; what is worth keeping, what not and why, and what is there twice leaves."""
