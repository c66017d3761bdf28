"""Pure functions on tensors: S(I2C), the losses, ranking and significance."""
