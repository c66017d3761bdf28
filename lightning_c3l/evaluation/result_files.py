"""Files that a run of `test` leaves in its folder; without torchmetrics, which takes seconds to import."""

ANSWERS, BLIND_ANSWERS = "answers.jsonl", "answers-blind.jsonl"
REVIEWS, EVALUATION = "reviews.jsonl", "evaluation.json"
# the benchmark whose answers a judge scores
JUDGED = "llava_w"
