"""Pure functions on numbers: S(I2C), the losses, ranking, significance, streams of randomness."""
