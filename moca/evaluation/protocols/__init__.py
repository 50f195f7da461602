"""What is measured on a data set, a file for each way to measure."""
