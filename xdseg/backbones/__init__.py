"""Small encoders pre-trained without labels on generated images, so that tiny trainings need not start from noise."""
