"""What a search by mixture weights is made of: the relaxation, its costs, its exits, and when it should end."""
