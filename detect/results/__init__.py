"""What a run leaves behind: the folder of a result, and how it is found, read, locked and swapped."""
