"""What the processes of a run tell each other, and how weights are split over them."""
