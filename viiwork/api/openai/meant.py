"""Fields that these endpoints do not have, and that would change the answer: dropped in silence they would lie. Pure.

Any other unknown field passes unseen, as the OpenAI API's clients send more of them with every release.
"""

from __future__ import annotations

from collections.abc import Mapping

from viiwork.api.bodies import wrong

LEAVE_OUT = "is not had here; leave it out"
SHAPES = "is not had here; say it by response_format, regex or choice"
OF_BOTH = {
    "logit_bias": LEAVE_OUT,
    "min_p": LEAVE_OUT,
    "min_tokens": LEAVE_OUT,
    "repetition_penalty": LEAVE_OUT,
    "ignore_eos": LEAVE_OUT,
    "stop_token_ids": LEAVE_OUT,
    "use_beam_search": LEAVE_OUT,
    "prompt_logprobs": LEAVE_OUT,
    "guided_json": SHAPES,
    "guided_regex": SHAPES,
    "guided_choice": SHAPES,
    "guided_grammar": SHAPES,
    "structured_outputs": SHAPES,
    "grammar": SHAPES,
}
OF_CHATS = OF_BOTH | {
    "audio": "no model here speaks; leave it out",
    "functions": 'has become tools, each as {"type": "function", "function": {…}}',
    "function_call": "has become tool_choice",
    "web_search_options": "nothing here searches the web; leave it out",
    "chat_template": LEAVE_OUT,
    "chat_template_kwargs": LEAVE_OUT,
    "continue_final_message": LEAVE_OUT,
}
OF_COMPLETIONS = OF_BOTH | {
    "suffix": "nothing here fills in a gap; leave it out",
    "echo": "the prompt is not repeated here; leave it out",
}
NOTHING = (None, False, 0, "", "none")
"""What says the same as leaving a field out."""


def check_meant(given: object, refused: Mapping[str, str]) -> object:
    """The body as it is. Raises what `wrong` makes for a field that means something which is not done here."""
    if isinstance(given, dict):
        for name, reason in refused.items():
            said = given.get(name)
            if said not in NOTHING and said not in ([], {}):
                raise wrong(name, reason)
    return given
