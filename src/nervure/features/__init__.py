"""What can be seen without training: similarity of filters, gradients, regions."""
