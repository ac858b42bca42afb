"""The command line: assembles the commands of the parts and maps errors to exit codes."""

import sys

import typer

from scypher.encoders import commands as encoder_commands
from scypher.encoders.errors import InputError, ScypherError
from scypher.interpret import commands as interpret_commands
from scypher.kg import commands as graph_commands
from scypher.kg.stores.login import prompting

app = typer.Typer(
    name="scypher",
    help="Ask a single-cell atlas questions in Cypher, and see the evidence behind each answer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
interpret_commands.register(app)
encoder_commands.register(app)
graph_commands.register(app)


def main() -> None:
    """Run the command line; exit with 0 when done, 2 on bad input or usage, 1 on failure."""
    try:
        with prompting():
            app()
    except ScypherError as error:
        sys.stderr.write(f"scypher: {error}\n")
        sys.exit(2 if isinstance(error, InputError) else 1)
    except OSError as error:
        sys.stderr.write(f"scypher: {error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
