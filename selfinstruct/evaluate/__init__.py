"""How well models follow instructions: answers, measures, and differences with intervals."""
