"""Lists the networks that the commands know by name, with their options, and the published weights."""

from ghostnet_tf import commands
from ghostnet_tf.commands import flag
from ghostnet_tf.networks import NETWORKS

EXAMPLES = """\
  ghostnet-tf list
  ghostnet-tf list --table          parameters, multiply-adds and activations, the papers' numbers beside ours
"""


def parser() -> commands.ArgumentParser:
    parser = commands.ArgumentParser(prog="ghostnet-tf list", description=__doc__, examples=EXAMPLES)
    parser.add_argument("--table", action="store_true", help="print what every network costs instead")
    return parser


def command(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    if arguments.table:
        from ghostnet_tf.analysis import __main__ as table

        return table.command([])
    from ghostnet_tf.quiet import quiet

    with quiet():  # TensorFlow's import writes to the terminal
        from ghostnet_tf.analysis.complexity import aligned
        from ghostnet_tf.weights import carried, list_weights

    options = [(name, " ".join(f"{flag(o)} {v}" for o, v in row.options.items())) for name, row in NETWORKS.items()]
    print(aligned([("--model", "options and their defaults"), *options], left=2))
    weights = [(tag, row.family, f"{row.width:g}", f"{row.top1:.2f}") for tag, row in list_weights().items()]
    print(f"\n{aligned([('weights', 'model', 'width', 'top-1'), *weights], left=2)}")
    for row in filter(None, map(carried, NETWORKS)):
        print(f"\n{row.tag}: weights of {row.family} in the package, {row.card.name} beside them")
    return commands.OK


def main(argv: list[str] | None = None) -> int:
    return commands.run(command, argv)
