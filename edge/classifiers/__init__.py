"""Back ends that turn windows into probabilities, behind one Protocol."""
