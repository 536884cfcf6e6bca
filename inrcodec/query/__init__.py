"""Query: fields asked at coordinates, lattices and crops."""
