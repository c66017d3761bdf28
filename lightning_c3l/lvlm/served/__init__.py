"""Generation on inference servers, with the weights of an LVLM of this process."""
