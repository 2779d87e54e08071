"""What data sets hold and what curation dropped: data sets and curation folders in, numbers and one HTML page out."""
