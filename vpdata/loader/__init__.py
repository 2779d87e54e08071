"""The loader: a mixture and a window specification enter, windows of frames, actions and masks leave."""
