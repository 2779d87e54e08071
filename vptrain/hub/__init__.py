"""A run in, its model on the Hugging Face Hub with a card out."""
