"""One HTML page about a run: data sets, mixture, runs, predictions and times in; a self-contained page out."""
