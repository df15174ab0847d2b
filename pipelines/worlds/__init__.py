"""Made-up companies whose truth is known: the test bench of everything that the product claims."""
