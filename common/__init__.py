"""What two or more scripts share."""
