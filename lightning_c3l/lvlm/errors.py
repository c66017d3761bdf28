"""Errors of LVLMs, apart from the interface: a wrong path is told before PyTorch is imported."""


class LVLMError(ValueError):
    """The LVLM cannot be used as requested; the message is one line and says what to do."""


class ImageError(LVLMError):
    """The LVLM cannot process this image; others may work."""


class ConversationError(LVLMError):
    """The LVLM cannot process this conversation, for instance because it is too long; others may work."""
