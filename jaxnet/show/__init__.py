"""What a network sees and says, for people's eyes."""
