"""Tab completion for shells: stages by name, overrides by asking Hydra."""

from __future__ import annotations

from distill.errors import suggest
from distill.stages import STAGES

_BASH = """\
_distill_completion() {
  local line="${COMP_LINE:0:$COMP_POINT}" word rest stage choices choice prefix=""
  word="${line##* }"
  rest="${line#* }"
  while [[ "$rest" == " "* ]]; do rest="${rest# }"; done
  if [[ "$rest" != *" "* ]]; then
    choices="STAGES completion"
  else
    stage="${rest%% *}"
    case "$stage" in
      completion) choices="bash zsh" ;;
      *) choices="$(COMP_LINE="distill ${rest#* }" distill "$stage" -sc query=bash 2>/dev/null)" ;;
    esac
  fi
  # bash ends words at "=", and wants only what follows it.
  if [[ "${COMP_WORDBREAKS-}" == *=* && "$word" == *=* ]]; then prefix="${word%=*}="; fi
  COMPREPLY=()
  for choice in $(printf '%s ' $(echo $choices)); do
    [[ "$choice" == "$word"* ]] || continue
    choice="${choice#"$prefix"}"
    case "$choice" in
      *= | *. | */) ;;
      *) choice="$choice " ;;
    esac
    COMPREPLY+=("$choice")
  done
}
complete -o nospace -F _distill_completion distill"""

_ZSH = f"""\
autoload -U +X compinit && compinit
autoload -U +X bashcompinit && bashcompinit
{_BASH}"""


def script(shell: str | None) -> str:
    """Return the completion script of a shell.

    Put `eval "$(distill completion bash)"` into `~/.bashrc`, or the same with zsh into `~/.zshrc`.

    Arguments:
        shell: `bash` or `zsh`.

    Errors:
        ValueError: Any other.
    """
    texts = {"bash": _BASH, "zsh": _ZSH}
    if shell not in texts:
        near = suggest(shell or "", texts)
        raise ValueError(
            f"completion: wanted bash or zsh, got {shell or 'nothing'}.{near} "
            'As in: eval "$(distill completion bash)"'
        )
    return texts[shell].replace("STAGES", " ".join(STAGES))
