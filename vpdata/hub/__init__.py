"""Finished data sets in, the same on the Hugging Face Hub out, and back; what differs between two of them."""
