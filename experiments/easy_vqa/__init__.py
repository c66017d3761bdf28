"""The easy-VQA world: pictures, questions, pairs and their truth."""
