"""Stands in for robosuite."""
