"""The order of the steps of each command; the steps themselves lie in the folders that it calls."""
