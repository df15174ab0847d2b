"""The verbs that run it all, one file each, and the command line. Knows everything."""
