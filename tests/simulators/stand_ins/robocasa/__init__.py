"""Stands in for RoboCasa."""
