"""Floor 5, the face: rendering and the command line. The only place with column widths, colours or the letter B."""
