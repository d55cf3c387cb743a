"""`ecs-block completion`, and what it is that the shell then asks for at each Tab.

The script of the shell calls `ecs-block` with the line so far in variables, in the way of click's own completion.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import click
from click import shell_completion

from ecs_block.cli import COMPLETION, exits
from ecs_block.cli.kinds import Choice
from ecs_block.cli.streams import print_out

PROGRAM = "ecs-block"

# As click's, but for bash before 4.4 (macOS has 3.2), names with a * in them, and silence on stderr.
_BASH = """\
%(complete_func)s() {
    local item
    COMPREPLY=()
    while IFS= read -r item; do
        case "$item" in
            plain,*) COMPREPLY+=("${item#plain,}") ;;
            file,*) compopt -o default 2>/dev/null ;;
        esac
    done < <(IFS=$'\\n'; env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD="$COMP_CWORD" \\
        %(complete_var)s=bash_complete "$1" 2>/dev/null)
}

complete -o nosort -F %(complete_func)s %(prog_name)s 2>/dev/null || complete -F %(complete_func)s %(prog_name)s
"""

if TYPE_CHECKING:
    Items = list[shell_completion.CompletionItem[str]]


class _OurWords(shell_completion.ShellComplete):
    """Nothing is known of what follows `--`: that is the container's."""

    def get_completions(self, args: list[str], incomplete: str) -> Items:
        return [] if "--" in args else super().get_completions(args, incomplete)


class _Bash(_OurWords, shell_completion.BashComplete):
    source_template = _BASH

    def source(self) -> str:
        return self.source_template % self.source_vars()

    def get_completion_args(self) -> tuple[list[str], str]:
        """Put `--block=x` together again, which bash takes for three words."""
        words = os.environ["COMP_WORDS"].split("\n")[: int(os.environ["COMP_CWORD"]) + 1]
        whole: list[str] = []
        for word in words:
            joins = bool(whole) and whole[-1].startswith("--") and (word == "=" or whole[-1].endswith("="))
            whole = [*whole[:-1], whole[-1] + word] if joins else [*whole, word]
        *before, last = (_unquoted(word) for word in whole)
        return before[1:], last

    def get_completions(self, args: list[str], incomplete: str) -> Items:
        # Bash begins a new word at a colon, and would put the whole name behind the part that stands there.
        return [item for item in super().get_completions(args, incomplete) if ":" not in item.value]


class _WholeWords(_OurWords):
    """A shell that takes `--block=x` for one word, and puts what is chosen in place of all of it."""

    def get_completions(self, args: list[str], incomplete: str) -> Items:
        items = super().get_completions(args, incomplete)
        option, equals, _ = incomplete.partition("=")
        if equals and option.startswith("--"):
            for item in items:
                item.value = f"{option}={item.value}"
        return items


class _Zsh(_WholeWords, shell_completion.ZshComplete):
    pass


class _Fish(_WholeWords, shell_completion.FishComplete):
    pass


_SHELLS: dict[str, type[shell_completion.ShellComplete]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}

_EXAMPLES = """\
Examples:

\b
  bash, from the next shell on (bash-completion must be installed):
    mkdir -p ~/.local/share/bash-completion/completions
    ecs-block completion bash \\
        > ~/.local/share/bash-completion/completions/ecs-block
\b
  bash, without bash-completion; and in this shell only:
    echo 'eval "$(ecs-block completion bash)"' >> ~/.bashrc
    eval "$(ecs-block completion bash)"
\b
  zsh; the folder must be in $fpath before compinit runs in ~/.zshrc:
    ecs-block completion zsh > ~/.zfunc/_ecs-block
\b
  fish:
    ecs-block completion fish > ~/.config/fish/completions/ecs-block.fish
"""


@click.command(epilog=_EXAMPLES)
@click.argument("shell", type=Choice(list(_SHELLS)), metavar="bash|zsh|fish")
def completion(shell: str) -> int:
    """Print the script that lets a shell complete ecs-block's words.

    It completes verbs, options, launch types, saved blocks, run ids and files. Nothing is asked of AWS.
    """
    from ecs_block.cli.verbs import ecs_block

    print_out(_SHELLS[shell](ecs_block, {}, PROGRAM, COMPLETION).source().rstrip("\n"))
    return 0


def answer(asked: str) -> int:
    """Answer a shell that asks, as in `bash_complete`. Says nothing at all of what goes wrong: a prompt is no place for it."""
    shell, _, instruction = asked.partition("_")
    if shell not in _SHELLS or instruction != "complete":
        return exits.USAGE
    with suppress(Exception):
        from ecs_block.cli.verbs import ecs_block

        print_out(_SHELLS[shell](ecs_block, {}, PROGRAM, COMPLETION).complete())
    return 0


def _unquoted(word: str) -> str:
    return next(iter(shell_completion.split_arg_string(word)), "")
