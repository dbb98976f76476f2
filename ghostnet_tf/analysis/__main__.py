"""Prints what every network costs, the papers' numbers beside ours; `--csv` writes the exact counts."""

import csv
import io
import shlex

from ghostnet_tf import commands

EXAMPLES = """\
  python -m ghostnet_tf.analysis
  python -m ghostnet_tf.analysis --csv results/zoo.csv
"""


def parser() -> commands.ArgumentParser:
    parser = commands.ArgumentParser(prog="python -m ghostnet_tf.analysis", description=__doc__, examples=EXAMPLES)
    parser.add_argument("--csv", metavar="FILE", help="also write the exact counts there, a line a network")
    return parser


def command(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    import keras

    from ghostnet_tf.analysis import zoo

    with keras.StatelessScope(initialize_variables=False):  # counting needs no values, and they take the longest
        rows = [zoo.measure(row) for row in commands.progress(zoo.ROWS, "counting")]
    print(zoo.table(rows))
    if arguments.csv is not None:
        text = io.StringIO(newline="")
        invocation = shlex.join(["python", "-m", "ghostnet_tf.analysis", "--csv", arguments.csv])
        rows = [row | {"command": invocation} for row in rows]
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        commands.write_text(arguments.csv, text.getvalue())
    return commands.OK


def main(argv: list[str] | None = None) -> int:
    return commands.run(command, argv)


if __name__ == "__main__":
    raise SystemExit(main())
