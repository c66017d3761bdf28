"""The easy-VQA world: images, questions, pairs and their truth."""
