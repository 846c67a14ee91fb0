"""Studies: many short trainings that differ in one thing, and what came of it."""
