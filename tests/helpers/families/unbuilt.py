"""Types that transformers lists as image-text-to-text and that complete no conversation about an image."""

# `model_type` of the configuration -> why, in one line
UNBUILT = {
    "blip": "captions images: its generate replaces the prompt's first token, drops the last and sets the end itself",
    "diffusion_gemma": "writes blocks of tokens by denoising them, with a generate of its own: its forward gives "
    "logits of such a block and no probability of the next token",
    "evolla": "answers questions about proteins: its processor takes sequences of amino acids and no images",
    "instructblipvideo": "answers questions about videos: its processor takes four frames and has no image processor",
    "mistral4": "takes no images; Mistral Small 4 is a `mistral3` with this decoder",
    "pi0": "steers robots: its forward wants the robot's state and predicts movements instead of tokens",
    "pix2struct": "reads its question as pixels, drawn above the image: its forward takes no tokens of a prompt",
    "pp_formulanet": "transcribes formulas: its processor takes images and no text",
    "shieldgemma2": "a classifier: its processor ignores the text that it is given and writes a prompt for each of its "
    "policies, and its weights do not load into the class that is listed for the type",
    "udop": "reads documents: its tokenizer wants each word's box on the page, which optical recognition has to find",
    "vision-encoder-decoder": "an encoder of images before any decoder: its forward takes no tokens of a prompt",
}
