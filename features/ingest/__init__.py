"""From files of any shape to clean tables of dated facts, with every row accounted for."""
