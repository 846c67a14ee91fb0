"""How many streams a machine can take, and how soon their alerts arrive."""
