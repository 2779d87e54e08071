"""Finished data sets in; new ones made of their clips, without encoding anything again, out."""
