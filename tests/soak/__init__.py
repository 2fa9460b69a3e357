"""Long runs of real processes, behind commands of their own."""
