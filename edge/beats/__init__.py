"""The beats of a stream: their classes, and the rhythms that rules derive from them."""
