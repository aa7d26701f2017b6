"""What a person says of photographs, kept apart from every run; and what can be learned from it."""
